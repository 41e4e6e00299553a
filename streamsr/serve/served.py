"""What the web server is given to show."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamsr.core.settings import HlsSettings
from streamsr.core.status import OutputStatus, StreamStatus
from streamsr.ipc.broadcaster import Broadcaster

if TYPE_CHECKING:  # it brings PyAV and aiortc along
    from streamsr.serve.whip.publish_point import PublishPoint

__all__ = ["Served"]


@dataclass(frozen=True, slots=True)
class Served:
    """A stream that can be watched."""

    broadcaster: Broadcaster
    status: Callable[[], StreamStatus]
    # A frame as JPEG. Raises TimeoutError or StreamsrError in a few seconds where there is none.
    snapshot: Callable[[], Awaitable[bytes]] | None = None
    publish_point: "PublishPoint | None" = None  # of a stream that is published by WHIP
    hls: HlsSettings | None = None  # what its HLS is like; None: there is none
    recordings: Path | None = None  # the folder of its recordings
    outputs: Callable[[], Sequence[OutputStatus]] = tuple
    recording: Callable[[], bool] = lambda: False  # whether it records now
