"""WHIP over HTTP (RFC 9725): a publisher sends an SDP offer and then its video."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import web

from streamsr.core.deadline import Deadline
from streamsr.core.status import StreamState
from streamsr.serve.access.admission import ADMISSION, Admission
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.access.roles import require_control
from streamsr.serve.http import read_text
from streamsr.serve.served import Served
from streamsr.serve.webrtc.ice_network import IceNetwork, NoPortError
from streamsr.serve.webrtc.negotiation import FRAGMENT, SDP, created, options
from streamsr.serve.webrtc.sdp import (
    PUBLISHING,
    BadOfferError,
    Fragment,
    Offer,
    UnacceptableOfferError,
)
from streamsr.serve.webrtc.trickled import UnsupportedRestartError
from streamsr.serve.whip.publish_point import BusyError, PublishPoint
from streamsr.serve.whip.publisher import Publisher

__all__ = ["Whip"]

RETRY_S = 5  # after which a publisher that was refused for now should ask again

log = logging.getLogger(__name__)


class Whip:
    """The handlers of /whip. A session's secret is the right to end it, for who may control."""

    def __init__(
        self, streams: Mapping[str, Served], network: IceNetwork, limits: ServerLimits
    ) -> None:
        self._streams = streams
        self._network = network
        self._body_s = limits.body_s
        self._open: dict[str, tuple[str, Publisher]] = {}  # by secret, with the stream's name
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.options("/whip/{stream}", self.options),
            web.post("/whip/{stream}", self.offer),
            web.patch("/whip/{stream}/{secret}", self.trickle),
            web.delete("/whip/{stream}/{secret}", self.leave),
        ]

    async def options(self, _request: web.Request) -> web.Response:
        """Tells the ICE servers before there is an offer."""
        return options(self._network.servers_as_links())

    async def offer(self, request: web.Request) -> web.Response:
        """Begins a session."""
        require_control(request)
        name = request.match_info["stream"]
        self._point(name)
        text = await read_text(request, SDP, self._body_s)
        try:
            publisher = Publisher(Offer.parse(text, PUBLISHING), self._network)
        except BadOfferError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        except UnacceptableOfferError as error:
            raise web.HTTPNotAcceptable(text=str(error)) from None
        point = self._point(name)  # it may be another, or none, since the body came
        answer = await self._answer(point, publisher)
        secret = secrets.token_urlsafe(16)  # 128 bits
        self._open[secret] = name, publisher
        work = self._supervise(name, secret, point, publisher, request[ADMISSION])
        task = asyncio.create_task(work, name=f"publisher of {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        log.info("stream %s: a publisher came", name)
        return created(name, secret, answer, self._network.servers_as_links())

    async def trickle(self, request: web.Request) -> web.Response:
        """Adds candidates of a session's publisher."""
        _, publisher = self._find(request)
        try:
            text = await read_text(request, FRAGMENT, self._body_s)
            await publisher.trickle(Fragment.parse(text))
        except UnsupportedRestartError as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from None
        except BadOfferError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.Response(status=204)

    async def leave(self, request: web.Request) -> web.Response:
        """Ends a session."""
        secret, publisher = self._find(request)
        publisher.end("it was ended")
        with suppress(TimeoutError):  # it closes later
            async with asyncio.timeout(RETRY_S):
                while secret in self._open and self._tasks:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        return web.Response(text="ended")

    async def close(self, deadline: Deadline) -> None:
        """Ends all sessions."""
        for _, publisher in self._open.values():
            publisher.end("the server stops")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline.left_s())

    def _point(self, name: str) -> PublishPoint:
        """Where a stream is published to now."""
        served = self._streams.get(name)
        if served is None or served.publish_point is None:
            raise web.HTTPNotFound(text='no stream of that name has input.url = "whip"')
        if served.status().state is StreamState.DISABLED:
            raise _come_later(web.HTTPConflict, "the stream is switched off")
        return served.publish_point

    async def _answer(self, point: PublishPoint, publisher: Publisher) -> str:
        try:
            return await _claimed(point, publisher)
        except BusyError:
            raise _come_later(web.HTTPConflict, "somebody publishes to it now") from None
        except UnacceptableOfferError as error:
            raise web.HTTPNotAcceptable(text=str(error)) from None
        except NoPortError as error:
            raise _come_later(web.HTTPServiceUnavailable, str(error)) from None

    async def _supervise(
        self,
        name: str,
        secret: str,
        point: PublishPoint,
        publisher: Publisher,
        admission: Admission,
    ) -> None:
        why = "it failed"
        try:
            async with admission.ending(publisher.end):
                why = await publisher.run()
        except Exception:
            # A fault with one publisher, whatever it is, must not reach the viewers.
            log.exception("stream %s: a publisher's session failed", name)
        finally:
            point.release(publisher)
            try:
                await publisher.close()
            finally:
                del self._open[secret]
                log.info("stream %s: a publisher went (%s)", name, why)

    def _find(self, request: web.Request) -> tuple[str, Publisher]:
        require_control(request)
        secret = request.match_info["secret"]
        name, publisher = self._open.get(secret, ("", None))
        if publisher is None or name != request.match_info["stream"]:
            raise web.HTTPNotFound(text="no such session")
        return secret, publisher


async def _claimed(point: PublishPoint, publisher: Publisher) -> str:
    """Makes a publisher the one of its stream; returns its SDP answer. Without one it is closed."""
    try:
        point.claim(publisher)
        return await publisher.answer()
    except BaseException:
        point.release(publisher)
        await publisher.close()
        raise


def _come_later(kind: type[web.HTTPException], text: str) -> web.HTTPException:
    return kind(text=text, headers={"Retry-After": str(RETRY_S)})
