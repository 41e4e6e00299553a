"""What control sees of a node and may ask of it. Knows nothing of brokers or topics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamsr.core.status import StreamStatus

__all__ = ["CameraState", "NodeApi"]


@dataclass(frozen=True, slots=True)
class CameraState:
    """One stream as control sees it."""

    status: StreamStatus
    enabled: bool
    recording: bool | None  # None: no recorder is configured
    outputs: Mapping[str, str]  # publishers: target, without secrets -> "up", "down", "starting"


class NodeApi(Protocol):
    """A node. Commands come one at a time, and each may take its time: up to a minute.

    Where a command cannot be carried out it raises StreamsrError, whose message is published.
    """

    def cameras(self) -> Mapping[str, CameraState]:
        """Those there are now, by name; they may come and go."""

    def models(self) -> Sequence[str]:
        """Names that ``use_model`` may be asked for."""

    async def enable(self, camera: str, on: bool) -> None:
        """Run the stream, or stop it."""

    async def use_model(self, camera: str, model: str) -> None:
        """Go on with another model. Raises StreamsrError where it can't be."""

    async def record(self, camera: str, on: bool) -> None:
        """Record, or stop it. Raises UserError where no recorder is configured."""

    async def snapshot(self, camera: str) -> bytes:
        """The newest picture as JPEG. Raises StreamsrError, or TimeoutError where none comes."""
