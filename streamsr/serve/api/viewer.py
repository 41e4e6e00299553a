"""The operation on what a page has to know to play: what to try first, and by which ICE servers."""

from collections.abc import Sequence
from typing import Literal

from streamsr.core.config import Settings
from streamsr.serve.api.operations import ApiOperation
from streamsr.serve.webrtc.ice_network import IceNetwork

__all__ = ["Prefer", "Viewer"]

Prefer = Literal["webrtc", "hls"]


class StunServer(Settings):
    """A server that tells a client its address."""

    urls: tuple[str, ...]


class TurnServer(StunServer):
    """A server that relays, for who has its credential."""

    username: str
    credential: str | None


class ViewerView(Settings):
    """What RTCPeerConnection takes, and what to play where there is a choice."""

    prefer: Prefer
    ice_servers: tuple[StunServer | TurnServer, ...]


class Viewer:
    """The operation /viewer. Who may watch gets a TURN server's credential: it takes that."""

    def __init__(self, network: IceNetwork, prefer: Prefer) -> None:
        self._network = network
        self._prefer = prefer

    def operations(self) -> Sequence[ApiOperation]:
        return [ApiOperation("GET", "/viewer", self.setup, tells_secret=True)]

    async def setup(self) -> ViewerView:
        """Tells how to play: what to try first, and ICE servers with their credentials."""
        servers = self._network.servers_as_json()
        return ViewerView.model_validate(
            {"prefer": self._prefer, "ice_servers": servers}, strict=False
        )
