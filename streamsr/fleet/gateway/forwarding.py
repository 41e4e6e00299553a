"""Requests for what only a camera's host has, handed on to it, through a move.

The gateway's access control has let them in; the host lets the gateway in, by a token of its own,
and is told who asks. Media pass here for HLS, WebSockets, snapshots and recordings alone: those of
WebRTC go straight between the host and its viewer.
"""

import asyncio
from typing import Final

from aiohttp import ClientError, ClientResponse, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from streamsr.core.status import StreamState
from streamsr.fleet.gateway.fleet_view import FleetView
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.fleet.gateway.live_relay import LiveRelay
from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import ARRIVAL
from streamsr.serve.access.links import LINK, PARAMETER, carried
from streamsr.serve.api.problems import BASE

__all__ = ["Forwarding"]

OF_A_CAMERA: Final = (  # as the server's routes have them; all below each as well
    "/whep/{stream}",
    "/whip/{stream}",
    "/live/{stream}",
    "/hls/{stream}",
    "/snapshot/{stream}.jpg",
    *(
        f"{BASE}/cameras/{{camera}}/{part}"
        for part in ("recordings", "latency", "self-check", "snapshot")
    ),
)
LIVE, PLAYLIST = "/live/", ".m3u8"
ASKED = (  # headers that are handed on
    "Accept",
    "Content-Type",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Range",
)
ANSWERED = (  # likewise of answers; the others are this server's
    "accept-patch",
    "accept-post",
    "accept-ranges",
    "allow",
    "cache-control",
    "content-disposition",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "link",
    "location",
    "retry-after",
)
SMALL = 4 * 1024 * 1024  # bytes, of an answer that is read whole before it is given
FOUND_S = 8.0  # for a camera to be on a host again: a move, and a host that died
AGAIN_S = 0.5  # after a host that did not answer
EMPTY = (204, 304)  # answers without a body
ENDS = b"#EXT-X-ENDLIST\n"  # of a playlist: players ask no more
NOT_THERE = (404, 503)
HAS_ENDED = (StreamState.ENDED, StreamState.DISABLED)
SAFE = ("GET", "HEAD", "OPTIONS")
RETRY_S = 2  # after which a client should ask again


class Forwarding:
    """A middleware: answers what is a camera's host's to answer, and hands on all else."""

    def __init__(self, view: FleetView, client: HostClient, access: Access) -> None:
        self._view = view
        self._client = client
        self._access = access
        self._live = LiveRelay(view, client)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = self._access.below_base(resource.canonical) if resource is not None else ""
        camera = request.match_info.get("stream") or request.match_info.get("camera") or ""
        if camera not in self._view.cameras or not route.startswith(OF_A_CAMERA):
            return await handler(request)
        path = self._access.below_base(request.rel_url.raw_path)
        query = "&".join(
            part
            for part in request.rel_url.raw_query_string.split("&")
            if part and not part.startswith(f"{PARAMETER}=")
        )
        asked = f"{path}?{query}" if query else path
        if route.startswith(LIVE):
            return await self._live.relay(request, camera, asked)
        return await self._forward(request, camera, asked)

    async def _forward(self, request: web.Request, camera: str, path: str) -> web.StreamResponse:
        """Asks the host of a camera; what changes nothing is asked again of the host after it."""
        body = await request.read() if request.can_read_body else None
        headers = self._headers(request)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + FOUND_S
        while (left_s := end_s - loop.time()) > 0:
            host = await self._view.await_host(camera, left_s)
            if host is None:
                break
            try:
                async with self._view.while_on(host, camera) as waiting:
                    asking = self._client.request(
                        host, request.method, path, headers=headers, data=body
                    )
                    async with asking as answer:
                        waiting.reschedule(None)  # it has answered
                        goes_on = await self._goes_on(camera, path, answer)
                        if not goes_on or loop.time() + AGAIN_S > end_s:
                            return await _given(request, answer, goes_on=goes_on)
                await asyncio.sleep(AGAIN_S)
            except (ClientError, TimeoutError):
                if request.method not in SAFE:
                    break
                await asyncio.sleep(AGAIN_S)
        raise web.HTTPServiceUnavailable(
            text=f"{camera} is on its way to another host", headers={"Retry-After": str(RETRY_S)}
        )

    async def _goes_on(self, camera: str, path: str, answer: ClientResponse) -> bool:
        """Whether a host ends a playlist, or has none yet, that another, or it, will go on with."""
        placed = self._view.placed(camera)
        if not path.partition("?")[0].endswith(PLAYLIST) or placed is None:
            return False
        wanted = self._view.cameras.get(camera)
        if wanted is None or "hls" not in wanted.settings or placed.state in HAS_ENDED:
            return False
        return answer.status in NOT_THERE or ENDS in await answer.read()

    def _headers(self, request: web.Request) -> dict[str, str]:
        found = {name: request.headers[name] for name in ASKED if name in request.headers}
        return found | {"X-Forwarded-For": request[ARRIVAL].client}


async def _given(
    request: web.Request, answer: ClientResponse, *, goes_on: bool
) -> web.StreamResponse:
    """Answers as the host does; a playlist carries on the link that it was asked for by, and has no
    end where it ``goes_on``."""
    headers = CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() in ANSWERED)
    if answer.status in EMPTY:
        return web.Response(status=answer.status, headers=headers)
    small = answer.content_length is not None and answer.content_length <= SMALL
    link = request.get(LINK) if request.path.endswith(PLAYLIST) else None
    if request.method == "HEAD" or not (small or link or goes_on):
        return await _streamed(request, answer, headers)
    body = await answer.read()
    headers.popall("Content-Length", None)
    if goes_on:
        body = body.replace(ENDS, b"")
    if link is not None:
        body = carried(body.decode(), link).encode()
    return web.Response(status=answer.status, body=body, headers=headers)


async def _streamed(
    request: web.Request, answer: ClientResponse, headers: CIMultiDict[str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    try:
        async for data in answer.content.iter_any():
            await response.write(data)
    except ClientError:  # half of it is there: the client asks for the rest, by a range
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the host went away") from None
    await response.write_eof()
    return response
