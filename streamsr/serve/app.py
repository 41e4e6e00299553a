"""The web server: watching streams in a browser or with any WHEP client."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from streamsr.errors import ConfigError
from streamsr.serve.guard import Guard, is_loopback
from streamsr.serve.http import BODY_BYTES, add_headers, manners
from streamsr.serve.pages import Pages
from streamsr.serve.peer import gather_loopback
from streamsr.serve.session import Deadlines, Served, Sessions
from streamsr.serve.whep import Whep

__all__ = ["Server"]

VIEWERS = 8
IDLE_S = 10.0  # a connection without a whole request is closed
LINGER_S = 2.0  # how long the rest of a refused body is read, so that the refusal arrives
STOP_S = 0.5  # for requests under way when the server stops


class Server:
    """Serves ``streams`` while the ``async with`` lasts, wherever their packets come from.

    The mapping is read at each request: streams may be added to it and removed from it meanwhile.
    A stream that is removed should have its hub closed, which ends its sessions.
    """

    def __init__(
        self,
        streams: Mapping[str, Served],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        viewers: int = VIEWERS,
        deadlines: Deadlines | None = None,
    ) -> None:
        """Port 0 picks a free one. ``viewers`` is a cap over all streams.

        Raises ConfigError for a host other than loopback without a token.
        """
        if token is None and not is_loopback(host):
            raise ConfigError(f"listening on {host}: only loopback is allowed without a token")
        self.host = host
        self.port = port  # the one really listened on, once entered
        self._sessions = Sessions(viewers, deadlines or Deadlines())
        app = web.Application(middlewares=[manners(Guard(token))], client_max_size=BODY_BYTES)
        app.on_response_prepare.append(add_headers)
        app.add_routes(Pages(streams).routes())
        app.add_routes(Whep(streams, self._sessions).routes())
        self._runner = web.AppRunner(
            app,
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
        return f"http://{host}:{self.port}/"

    @property
    def viewers(self) -> int:
        """How many sessions there are now."""
        return len(self._sessions)

    async def __aenter__(self) -> Self:
        gather_loopback()
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror}"
            ) from None
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._sessions.close()
        await self._runner.cleanup()
