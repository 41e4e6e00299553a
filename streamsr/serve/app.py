"""The web server itself: listens, routes to the handlers, and stops."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Middleware

from streamsr.control.node_api import NodeApi
from streamsr.core.deadline import Deadline
from streamsr.core.errors import ConfigError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.settings import ServeSettings, WebRtcSettings
from streamsr.serve.access.access import Access
from streamsr.serve.access.auth import AccessControl
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.access.refusals import Refusals
from streamsr.serve.api.api import Api
from streamsr.serve.api.events import EventFeed
from streamsr.serve.api.problems import problem_answers
from streamsr.serve.api.viewer import Prefer, Viewer
from streamsr.serve.http import BODY_BYTES, CommonHeaders, guarded, hide_faults, protocol_log
from streamsr.serve.live.feed import Feeds
from streamsr.serve.live.hls import Hls
from streamsr.serve.live.socket import LiveSockets
from streamsr.serve.metrics import Metrics
from streamsr.serve.pages import Pages
from streamsr.serve.served import Served
from streamsr.serve.snapshots import Snapshots
from streamsr.serve.webrtc.ice_network import IceNetwork
from streamsr.serve.webrtc.viewer_session import ViewerSessions
from streamsr.serve.webrtc.whep import Whep
from streamsr.serve.whip.whip import Whip

__all__ = ["Server"]


def _unheard(event: Event) -> None:
    """Where nobody is to be told of events."""


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
        access: Access | None = None,
        limits: ServerLimits | None = None,
        events: Callable[[], Mapping[Code, int]] = dict,
        emit: Emit = _unheard,
        webrtc: WebRtcSettings | None = None,
        prefer: Prefer = "webrtc",
        node: NodeApi | None = None,
        answered_elsewhere: Sequence[Middleware] = (),
    ) -> None:
        """Port 0 picks a free one. ``events`` tells how often each event happened, for the metrics.
        ``node`` is what the API steers. ``answered_elsewhere`` answer for the handlers, of whom the
        access control has let in, what is not here.

        ``emit`` is told of requests that are refused, and of what becomes of tokens and
        certificates. Raises ConfigError for a host other than loopback without a token or TLS, or
        where a credential of an ICE server cannot be read.
        """
        access = access or Access()
        access.check_exposure(host)
        self.host = host
        self.port = port  # the one really listened on, once entered
        self._secrets = access.secrets
        self._emit = emit
        self._tls = access.secrets.tls()
        self._following: asyncio.Task[None] | None = None
        self._limits = limits or ServerLimits()
        self._listener: asyncio.Server | None = None
        network = IceNetwork(webrtc)
        self._sessions = ViewerSessions(self._limits, network)
        feeds = Feeds(streams)
        self._sockets = LiveSockets(feeds, self._limits)
        self._hls = Hls(streams, feeds)
        self._whip = Whip(streams, network, self._limits)
        self._snapshots = Snapshots(streams, self._limits)
        self.feed = EventFeed()  # it takes events, and hands them on
        refusals = Refusals(emit, time.monotonic)
        control = AccessControl(access, self._limits, refusals)
        app = web.Application(
            middlewares=[problem_answers, hide_faults, control.middleware, *answered_elsewhere],
            client_max_size=BODY_BYTES,
        )
        app.on_response_prepare.append(CommonHeaders(access.origins).add)
        self.routes: Sequence[web.RouteDef] = [
            *Pages(streams).routes(),
            *self._sockets.routes(),
            *Whep(streams, self._sessions, network, self._limits).routes(),
            *self._whip.routes(),
            *self._snapshots.routes(),
            *self._hls.routes(),
            *Api(
                streams, node, access, self._snapshots, self.feed, Viewer(network, prefer)
            ).routes(),
            *Metrics(
                streams, self._sessions, self._sockets, events, refusals, access.secrets
            ).routes(),
        ]
        if access.base_path:
            app.add_routes(_below(access.base_path, self.routes))
        app.add_routes(self.routes)
        self._runner = web.AppRunner(
            app,
            logger=protocol_log(),
            access_log=None,  # it would hold the sessions' secrets
            keepalive_timeout=self._limits.idle_s,
            lingering_time=self._limits.linger_s,
            auto_decompress=False,  # no body here is ever compressed, unless it is a trap
        )

    @property
    def url(self) -> str:
        """The address of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/"

    @property
    def viewers(self) -> int:
        """How many sessions there are now."""
        return len(self._sessions)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        assert self._runner.server is not None
        self._runner.server.request_handler = guarded(self._runner.server.request_handler)
        try:
            self._listener = await self._listen()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror}"
            ) from None
        self.port = self._listener.sockets[0].getsockname()[1]
        following = self._secrets.follow(self._emit)
        self._following = asyncio.create_task(following, name="tokens and certificate")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close(Deadline.after())

    async def read_again(self) -> None:
        """Takes the tokens and the certificate that their files hold now."""
        await self._secrets.read_again(self._emit)

    async def use_tokens(self, settings: ServeSettings) -> None:
        """Takes the tokens that other settings name. Raises ConfigError, having changed nothing."""
        await self._secrets.use(settings, self._emit)

    async def close(self, deadline: Deadline) -> None:
        """Ends all sessions and in-flight requests by the deadline. Closing twice does nothing."""
        if self._following is not None:
            self._following.cancel()
        if self._listener is not None:
            self._listener.close()
        self._snapshots.close()
        self.feed.close()
        self._sockets.close()
        self._hls.close()
        http = self._runner.server
        if http is not None:
            http.pre_shutdown()  # ends the connections that are idle
            # aiohttp waits for a handler once, and as long again when it has cancelled it; for 0 s
            # it would wait indefinitely.
            half_s = max(0.01, deadline.left_s() / 2)
            await asyncio.gather(
                self._sessions.close(deadline), self._whip.close(deadline), http.shutdown(half_s)
            )
        await self._runner.cleanup()

    async def _listen(self) -> asyncio.Server:
        """Like aiohttp's TCPSite, which would wait a minute for a handshake that does not come."""
        assert self._runner.server is not None
        return await asyncio.get_running_loop().create_server(
            self._runner.server,
            self.host,
            self.port,
            ssl=self._tls,
            ssl_handshake_timeout=self._limits.idle_s if self._tls else None,
        )


def _below(base: str, routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
    """The same routes below ``base``, which a proxy leaves on, and the page at its very name."""

    async def enter(request: web.Request) -> web.Response:
        last = base.rpartition("/")[2]
        return web.Response(status=308, headers={"Location": f"{last}/"})

    return [
        web.get(base, enter),
        *(web.RouteDef(r.method, base + r.path, r.handler, r.kwargs) for r in routes),
    ]
