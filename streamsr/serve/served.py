"""What the web server is given to show."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsr.core.settings import HlsSettings
from streamsr.core.status import OutputStatus, StreamStatus
from streamsr.ipc.broadcaster import Broadcaster

__all__ = ["Served"]


@dataclass(frozen=True, slots=True)
class Served:
    """A stream that can be watched."""

    broadcaster: Broadcaster
    status: Callable[[], StreamStatus]
    # A frame as JPEG. Raises TimeoutError or StreamsrError in a few seconds where there is none.
    snapshot: Callable[[], Awaitable[bytes]] | None = None
    hls: HlsSettings | None = None  # what its HLS is like; None: there is none
    recordings: Path | None = None  # the folder of its recordings
    outputs: Callable[[], Sequence[OutputStatus]] = tuple
    recording: Callable[[], bool] = lambda: False  # whether it records now
