"""The web server: watching streams in a browser or with any WHEP client, and watching over them."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from streamsr.core.errors import ConfigError
from streamsr.core.events import Code
from streamsr.serve.auth import Guard, is_loopback
from streamsr.serve.hls import Hls
from streamsr.serve.http import BODY_BYTES, add_headers, manners, protocol_log
from streamsr.serve.metrics import Metrics
from streamsr.serve.pages import Pages
from streamsr.serve.peer import gather_loopback
from streamsr.serve.snapshots import Snapshots
from streamsr.serve.viewer_session import Deadlines, Served, Sessions
from streamsr.serve.whep import Whep

__all__ = ["Server"]

VIEWERS = 8
IDLE_S = 10.0  # a connection without a whole request is closed
LINGER_S = 2.0  # how long the rest of a refused body is read, so that the refusal arrives
STOP_S = 0.5  # for requests under way when the server stops
SELF_SIGNED = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 "
    "-subj /CN=streamsr -keyout key.pem -out certificate.pem"
)


class Server:
    """Serves ``streams`` while the ``async with`` lasts, wherever their packets come from.

    The mapping is read at each request: streams may be added to it and removed from it meanwhile.
    A stream that is removed should have its broadcaster closed, which ends its sessions.
    """

    def __init__(
        self,
        streams: Mapping[str, Served],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        viewers: int = VIEWERS,
        deadlines: Deadlines | None = None,
        events: Callable[[], Mapping[Code, int]] = dict,
    ) -> None:
        """Port 0 picks a free one. ``viewers`` is a cap over all streams.

        ``events`` tells how often each event happened, for the metrics. Raises ConfigError for a
        token that is too short, and for a host other than loopback without a token or TLS.
        """
        _check_exposure(host, token, tls)
        self.host = host
        self.port = port  # the one really listened on, once entered
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._sessions = Sessions(viewers, deadlines or Deadlines())
        self._snapshots = Snapshots(streams)
        app = web.Application(middlewares=[manners(Guard(token))], client_max_size=BODY_BYTES)
        app.on_response_prepare.append(add_headers)
        app.add_routes(Pages(streams).routes())
        app.add_routes(Whep(streams, self._sessions).routes())
        app.add_routes(self._snapshots.routes())
        app.add_routes(Hls(streams).routes())
        app.add_routes(Metrics(streams, self._sessions, events).routes())
        self._runner = web.AppRunner(
            app,
            logger=protocol_log(),
            access_log=None,  # it would hold the sessions' secrets
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            shutdown_timeout=STOP_S,
            auto_decompress=False,  # no body here is ever compressed, unless it is a trap
        )

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/"

    @property
    def viewers(self) -> int:
        """How many sessions there are now."""
        return len(self._sessions)

    async def __aenter__(self) -> Self:
        gather_loopback()
        await self._runner.setup()
        try:
            self._listener = await self._listen()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror}"
            ) from None
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        self._snapshots.close()
        await self._sessions.close()
        await self._runner.cleanup()

    async def _listen(self) -> asyncio.Server:
        """Like aiohttp's TCPSite, which would wait a minute for a handshake that does not come."""
        assert self._runner.server is not None
        return await asyncio.get_running_loop().create_server(
            self._runner.server,
            self.host,
            self.port,
            ssl=self._tls,
            ssl_handshake_timeout=IDLE_S if self._tls else None,
        )


def _check_exposure(host: str, token: str | None, tls: ssl.SSLContext | None) -> None:
    """Raises ConfigError where strangers could watch, or read along."""
    missing = []
    if token is None:
        missing.append("a token (serve.token_file, or STREAMSR_TOKEN in the environment)")
    if tls is None:
        missing.append(f"TLS (serve.tls_certificate and serve.tls_key, made by: {SELF_SIGNED})")
    if missing and not is_loopback(host):
        raise ConfigError(
            f"listening on {host}: off loopback a token and TLS are needed, and what is missing is "
            + " and ".join(missing)
        )
