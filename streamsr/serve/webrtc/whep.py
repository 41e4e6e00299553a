"""WHEP over HTTP (draft-ietf-wish-whep): a viewer sends an SDP offer and gets video."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from streamsr.serve.access.admission import ADMISSION
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.http import read_text
from streamsr.serve.served import Served
from streamsr.serve.shown import LONGEST_S, MOST
from streamsr.serve.webrtc.ice_network import IceNetwork, NoPortError
from streamsr.serve.webrtc.negotiation import FRAGMENT, SDP, created, options
from streamsr.serve.webrtc.sdp import BadOfferError, Fragment, Offer, UnacceptableOfferError
from streamsr.serve.webrtc.trickled import UnsupportedRestartError
from streamsr.serve.webrtc.viewer_session import FullError, ViewerSession, ViewerSessions

__all__ = ["Whep"]

JSON = "application/json"
REPORT = f'{{"shown_s": [1 to {MOST} numbers from 0 to {LONGEST_S:g}]}}'
RETRY_S = 5  # after which a viewer that was one too many should ask again


class Whep:
    """The handlers of /whep."""

    def __init__(
        self,
        streams: Mapping[str, Served],
        sessions: ViewerSessions,
        network: IceNetwork,
        limits: ServerLimits,
    ) -> None:
        self._streams = streams
        self._network = network
        self._sessions = sessions
        self._body_s = limits.body_s

    def routes(self) -> list[web.RouteDef]:
        return [
            web.options("/whep/{stream}", self.options),
            web.post("/whep/{stream}", self.offer),
            web.patch("/whep/{stream}/{secret}", self.trickle),
            web.delete("/whep/{stream}/{secret}", self.leave),
            web.get("/whep/{stream}/{secret}/clock", self.clock),
            web.post("/whep/{stream}/{secret}/shown", self.shown),
        ]

    async def options(self, _request: web.Request) -> web.Response:
        """Tells the ICE servers before there is an offer."""
        return options(self._network.servers_as_links())

    async def offer(self, request: web.Request) -> web.Response:
        """Begins a session."""
        name = request.match_info["stream"]
        served = self._streams.get(name)
        if served is None or served.broadcaster.closed:
            raise web.HTTPNotFound(text="no such stream")
        text = await read_text(request, SDP, self._body_s)
        try:
            secret, answer = await self._sessions.open(
                name, served.broadcaster, Offer.parse(text), request[ADMISSION]
            )
        except BadOfferError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        except UnacceptableOfferError as error:
            raise web.HTTPNotAcceptable(text=str(error)) from None
        except FullError:
            raise _come_later("too many viewers") from None
        except NoPortError as error:
            raise _come_later(str(error)) from None
        return created(name, secret, answer, self._network.servers_as_links())

    async def trickle(self, request: web.Request) -> web.Response:
        """Adds candidates of a session's viewer."""
        session = self._find(request)
        try:
            text = await read_text(request, FRAGMENT, self._body_s)
            await session.trickle(Fragment.parse(text))
        except UnsupportedRestartError as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from None
        except BadOfferError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.Response(status=204)

    async def clock(self, request: web.Request) -> web.Response:
        """Where 0 of the stream's time lies on the RTP clock, of 90 kHz, of each video track."""
        return web.json_response({"rtp_origin": self._find(request).rtp_origins()})

    async def shown(self, request: web.Request) -> web.Response:
        """Takes how long frames took to where the viewer sees them, for the metrics."""
        session = self._find(request)
        text = await read_text(request, JSON, self._body_s)
        try:
            taken = session.shown.take(text, asyncio.get_running_loop().time())
        except ValueError:
            raise web.HTTPUnprocessableEntity(text=f"the body must be {REPORT}") from None
        if not taken:
            again = {"Retry-After": "1"}
            raise web.HTTPTooManyRequests(text="one report a second will do", headers=again)
        return web.Response(status=204)

    async def leave(self, request: web.Request) -> web.Response:
        """Ends a session."""
        await self._sessions.end(self._find(request))
        return web.Response(text="ended")

    def _find(self, request: web.Request) -> ViewerSession:
        session = self._sessions.find(request.match_info["stream"], request.match_info["secret"])
        if session is None:
            raise web.HTTPNotFound(text="no such session")
        return session


def _come_later(text: str) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=text, headers={"Retry-After": str(RETRY_S)})
