"""Fragments over a WebSocket (RFC 6455): for pages that WebRTC does not reach."""

import asyncio
import json
from contextlib import suppress

from aiohttp import WSMsgType, web

from streamsr.core.packet import Track
from streamsr.core.waiting import first_of
from streamsr.ipc.broadcaster import EndOfStream
from streamsr.serve.access.admission import ADMISSION, Admission
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.access.shares import Shares, asking
from streamsr.serve.live.feed import Feed, Feeds, FragmentQueue
from streamsr.serve.live.fmp4 import InitSegment
from streamsr.serve.shown import ShownFrames

__all__ = ["LiveSockets"]

TRACKS = {"output": Track.OUTPUT, "input": Track.INPUT}
OF_A_VIEWER = 2  # sockets: before and after
HEARTBEAT_S = 10.0  # between pings; a viewer that does not answer in half of it is gone
MESSAGE_BYTES = 1024  # that a viewer may send
RETRY_S = 5  # after which a viewer that was one too many should ask again


class LiveSockets:
    """The handler of /live.

    A viewer gets a text, ``{"codecs": …}`` as RFC 6381 has them, then the initial segment, then
    fragments of a frame each, the first of them a keyframe. Where the stream becomes another, in
    size or because audio comes or goes, it gets a text and an initial segment again. It may send
    how long frames took to where it shows them (``ShownReport``); all else it sends is ignored.
    """

    def __init__(self, feeds: Feeds, limits: ServerLimits) -> None:
        self._feeds = feeds
        self._shares = Shares(OF_A_VIEWER * limits.viewers)
        self._open: dict[FragmentQueue, str] = {}  # with the stream's name

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/live/{stream}", self.watch)]

    def watching(self, stream: str) -> int:
        """How many sockets of this stream there are."""
        return sum(name == stream for name in self._open.values())

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Sends fragments until the viewer or the stream goes."""
        name = request.match_info["stream"]
        wanted = request.query.get("track", "output")
        if wanted not in TRACKS:
            raise web.HTTPBadRequest(text=f"track: allowed are {', '.join(TRACKS)}")
        feed = self._feeds.find(name, TRACKS[wanted])
        if feed is None:
            raise web.HTTPNotFound(text="no such stream")
        client = asking(request)
        if self._shares.full(client):
            retry = {"Retry-After": str(RETRY_S)}
            raise web.HTTPServiceUnavailable(text="too many viewers", headers=retry)
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MESSAGE_BYTES
        )
        if not socket.can_prepare(request).ok:
            upgrade = {"Upgrade": "websocket"}
            raise web.HTTPUpgradeRequired(text="this is a WebSocket", headers=upgrade)
        await socket.prepare(request)
        queue = FragmentQueue(feed.request_keyframe)
        self._open[queue] = name
        try:
            with self._shares.hold(client):
                await self._serve(socket, feed, queue, request[ADMISSION])
        finally:
            del self._open[queue]
        return socket

    def close(self) -> None:
        """Ends all of them; their handlers return."""
        for queue in self._open:
            queue.end()

    async def _serve(
        self,
        socket: web.WebSocketResponse,
        feed: Feed,
        queue: FragmentQueue,
        admission: Admission,
    ) -> None:
        feed.add(queue)
        try:
            await first_of(
                _send(socket, queue),
                _read(socket, feed),
                admission.wait_over(),
                name="fragments to a viewer",
            )
        except ConnectionError:
            pass  # it left
        finally:
            feed.remove(queue)
        why = admission.over() or "the stream ended"
        await socket.close(message=why.encode())


async def _send(socket: web.WebSocketResponse, queue: FragmentQueue) -> None:
    init: InitSegment | None = None
    try:
        while True:
            fragment = await queue.receive()
            if fragment.init is not init:
                init = fragment.init
                await socket.send_str(json.dumps({"codecs": init.codecs}))
                await socket.send_bytes(init.data)
            await socket.send_bytes(fragment.data)
    except EndOfStream:
        return


async def _read(socket: web.WebSocketResponse, feed: Feed) -> None:
    """Reads until the viewer closes, which also answers its pings."""
    shown = ShownFrames(feed.traces)
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
        if message.type is WSMsgType.TEXT:
            with suppress(ValueError):
                shown.take(message.data, asyncio.get_running_loop().time())
