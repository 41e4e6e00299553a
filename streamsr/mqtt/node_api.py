"""What MQTT needs of a node, and the last snapshot of its state. Knows neither broker nor topic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamsr.core.status import OutputState, StreamStatus

__all__ = ["CameraState", "NodeApi", "NodeSnapshot"]


@dataclass(frozen=True, slots=True)
class CameraState:
    """One stream of the node with its outputs."""

    status: StreamStatus
    enabled: bool
    recording: bool | None  # None: no recorder is configured
    outputs: Mapping[str, OutputState]  # by target, which holds no secret


class NodeApi(Protocol):
    """A node. Commands come one at a time, and each may take up to a minute.

    A command that cannot be carried out raises StreamsrError, whose message is published.
    """

    def cameras(self) -> Mapping[str, CameraState]:
        """The cameras there are now, by name; they may come and go."""

    def models(self) -> Sequence[str]:
        """Names that ``use_model`` accepts."""

    async def enable(self, camera: str, on: bool) -> None:
        """Starts the stream, or stops it."""

    async def use_model(self, camera: str, model: str) -> None:
        """Switches to another model. Raises StreamsrError where that is not possible."""

    async def record(self, camera: str, on: bool) -> None:
        """Starts recording, or stops it. Raises UserError where no recorder is configured."""

    async def snapshot(self, camera: str) -> bytes:
        """The newest frame as JPEG. Raises StreamsrError, or TimeoutError where none comes."""


class NodeSnapshot:
    """The node's cameras and models at the last refresh; what cannot be read stays as it was."""

    def __init__(self, node: NodeApi, failed: Callable[[str], None]) -> None:
        """``failed`` is told why the node cannot be read, once for each reason in a row."""
        self.cameras: Mapping[str, CameraState] = {}
        self.models: tuple[str, ...] = ()
        self.jpegs: dict[str, bytes] = {}  # the newest frame of each camera, once one was taken
        self._node = node
        self._failed = failed
        self._reason = ""  # why it could not be read last

    def refresh(self) -> None:
        """Reads the node's state."""
        try:
            self.cameras = self._node.cameras()
            self.jpegs = {name: jpeg for name, jpeg in self.jpegs.items() if name in self.cameras}
            self.models = tuple(self._node.models())
        except Exception as error:
            # one damaged file in the node's folders must not make every camera unavailable
            reason = f"the node cannot be read, its last state is kept: {str(error) or repr(error)}"
            if reason != self._reason:
                self._reason = reason
                self._failed(reason)
        else:
            self._reason = ""
