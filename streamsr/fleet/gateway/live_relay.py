"""Fragments over a WebSocket, from the host that has the camera: one socket through a move."""

import asyncio
from contextlib import suppress

from aiohttp import ClientError, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web

from streamsr.core.waiting import first_of
from streamsr.fleet.gateway.fleet_view import FleetView
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.serve.access.admission import ADMISSION

__all__ = ["LiveRelay"]

FOUND_S = 12.0  # for a camera to be on a host again
AGAIN_S = 0.5  # between two hosts, or two tries
HEARTBEAT_S = 10.0
MESSAGE_BYTES = 1024  # that a viewer may send
RETRY_S = 5
REFUSALS = (400, 503)  # of a host: of a track that there is not, and of one viewer too many


class LiveRelay:
    """Answers /live: each host's stream begins with what a player needs to go on by."""

    def __init__(self, view: FleetView, client: HostClient) -> None:
        self._view = view
        self._client = client

    async def relay(self, request: web.Request, camera: str, path: str) -> web.StreamResponse:
        """Sends fragments until the viewer goes, or no host has the camera for long."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MESSAGE_BYTES
        )
        if not socket.can_prepare(request).ok:
            raise web.HTTPUpgradeRequired(
                text="this is a WebSocket", headers={"Upgrade": "websocket"}
            )
        try:
            source = await self._next(camera, path)
        except WSServerHandshakeError as error:
            raise _refusal(error.status) from None
        if source is None:
            raise web.HTTPServiceUnavailable(
                text="no host has it at the moment", headers={"Retry-After": str(RETRY_S)}
            )
        await socket.prepare(request)
        admission = request[ADMISSION]
        while source is not None and not socket.closed and admission.over() is None:
            try:
                await first_of(
                    _to_viewer(source, socket),
                    _from_viewer(socket, source),
                    admission.wait_over(),
                    name="a host's fragments to a viewer",
                )
            except ConnectionError:
                break  # the viewer left
            finally:
                await source.close()
            if not socket.closed and admission.over() is None:
                await asyncio.sleep(AGAIN_S)
                with suppress(WSServerHandshakeError):
                    source = None
                    source = await self._next(camera, path)
        await socket.close(message=(admission.over() or "the stream ended").encode())
        return socket

    async def _next(self, camera: str, path: str) -> ClientWebSocketResponse | None:
        """The stream of the host that has the camera now; None where that takes too long.

        Raises WSServerHandshakeError where the host takes no such viewer.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + FOUND_S
        while (left_s := end_s - loop.time()) > 0 and camera in self._view.cameras:
            host = await self._view.await_host(camera, left_s)
            try:
                if host is not None:
                    return await self._client.socket(host, path)
            except WSServerHandshakeError as error:
                if error.status in REFUSALS:
                    raise
            except (ClientError, TimeoutError):
                pass  # it is gone: the camera will be on another
            await asyncio.sleep(AGAIN_S)
        return None


def _refusal(status: int) -> web.HTTPException:
    """What the viewer is answered that a host does not take."""
    if status == web.HTTPServiceUnavailable.status_code:
        retry = {"Retry-After": str(RETRY_S)}
        return web.HTTPServiceUnavailable(text="too many viewers", headers=retry)
    return web.HTTPBadRequest(text="track: allowed are output, input")


async def _to_viewer(source: ClientWebSocketResponse, socket: web.WebSocketResponse) -> None:
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)


async def _from_viewer(socket: web.WebSocketResponse, source: ClientWebSocketResponse) -> None:
    """Reads until the viewer closes, which also answers its pings."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            with suppress(ConnectionError, ClientError):
                await source.send_str(message.data)
