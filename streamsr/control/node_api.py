"""What a node offers to those who steer it, over HTTP and MQTT alike. Knows neither of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputStatus, StreamStatus

__all__ = ["CameraState", "NodeApi"]


@dataclass(frozen=True, slots=True)
class CameraState:
    """One stream of the node with its outputs."""

    status: StreamStatus
    enabled: bool
    recording: bool | None  # None: no recorder is configured
    outputs: Mapping[str, OutputStatus]  # by name


class NodeApi(Protocol):
    """A node. Commands come one at a time, and each may take up to a minute.

    A command that cannot be carried out raises StreamsrError, whose message is published.
    """

    def cameras(self) -> Mapping[str, CameraState]:
        """The cameras there are now, by name; they may come and go."""

    def models(self) -> Sequence[str]:
        """Names that ``use_model`` accepts."""

    def settings_of(self, camera: str) -> StreamSettings:
        """What a camera runs by now; it holds secrets."""

    async def enable(self, camera: str, on: bool) -> None:
        """Starts the stream, or stops it."""

    async def use_model(self, camera: str, model: str) -> None:
        """Switches to another model. Raises StreamsrError where that is not possible."""

    async def record(self, camera: str, on: bool) -> None:
        """Starts recording, or stops it. Raises UserError where no recorder is configured."""

    async def snapshot(self, camera: str) -> bytes:
        """The newest frame as JPEG. Raises StreamsrError, or TimeoutError where none comes."""
