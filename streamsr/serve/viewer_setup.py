"""What a page has to know to play a stream: what to try first, and with which ICE servers."""

from typing import Literal

from aiohttp import web

from streamsr.serve.webrtc.ice_network import IceNetwork

__all__ = ["Prefer", "ViewerSetup"]

Prefer = Literal["webrtc", "hls"]


class ViewerSetup:
    """The handler of /api/v1/viewer."""

    def __init__(self, network: IceNetwork, prefer: Prefer) -> None:
        self._network = network
        self._prefer = prefer

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/viewer", self.setup)]

    async def setup(self, request: web.Request) -> web.Response:
        """Returns what RTCPeerConnection takes, a TURN server's credential in it."""
        servers = self._network.servers_as_json()
        return web.json_response({"prefer": self._prefer, "ice_servers": servers})
