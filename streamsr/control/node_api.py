"""What a node offers to those who steer it, over HTTP and MQTT alike. Knows neither of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streamsr.control.changes import CameraChange, NewCamera
from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputStatus, StreamStatus

__all__ = ["CameraState", "NodeApi", "NodeStatus"]


@dataclass(frozen=True, slots=True)
class CameraState:
    """One stream of the node with its outputs."""

    status: StreamStatus
    enabled: bool
    recording: bool | None  # None: no recorder is configured
    outputs: Mapping[str, OutputStatus]  # by name
    folder: Path | None = None  # of its recordings
    size: str = ""  # asked of results, as "1080p"; "": as the device and the source decide


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The node itself at one moment."""

    name: str
    version: str
    since: str  # ISO 8601, UTC: when it started
    cameras: int
    live: int  # of them
    edits: str  # where what is changed is kept: "state", "file" or "forget"
    code: str = ""  # of the event that says what is wrong with the node; "" where all is well
    reason: str = ""  # what is wrong, for people
    doing: str = ""  # what is being done about it


class NodeApi(Protocol):
    """A node. Commands come one at a time, and each may take up to a minute.

    A command that cannot be carried out raises StreamsrError, whose message is published.
    """

    def status(self) -> NodeStatus:
        """How the node itself stands."""

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

    async def size(self, camera: str, size: str) -> None:
        """Has results of another size, as ``output.size`` says one; "": as the device and the
        source decide. Raises UserError."""

    async def record(self, camera: str, on: bool) -> None:
        """Starts recording, or stops it. Raises UserError where no recorder is configured."""

    async def snapshot(self, camera: str, width: int = 0) -> bytes:
        """The newest frame as JPEG, of that width in pixels, 0 for its own; it is not enlarged.

        Raises StreamsrError, or TimeoutError where none comes.
        """

    async def self_check(self, camera: str) -> None:
        """Makes a self-check now; what it found is in the camera's status.

        Raises UserError where there are none of the stream, TimeoutError where it takes too long.
        """

    async def add(self, asked: NewCamera) -> None:
        """Begins another camera. Raises UserError where it cannot be, or its name is taken."""

    async def change(self, camera: str, asked: CameraChange) -> None:
        """Changes what is asked of a camera, and interrupts as little as can be.

        Raises UserError, nothing changed.
        """

    async def remove(self, camera: str) -> None:
        """Ends a camera and forgets it. Raises UserError for the last one."""
