"""What a stream says of itself while it runs, for pages, commands and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["OutputState", "OutputStatus", "StreamState", "StreamStatus"]


class StreamState(StrEnum):
    """Where a stream stands."""

    STARTING = "starting"  # no frame has been upscaled yet
    LIVE = "live"
    DOWN = "down"  # its source or its worker is away: the last frame is held
    ENDED = "ended"
    DISABLED = "disabled"  # switched off


class OutputState(StrEnum):
    """Where an output stands."""

    STARTING = "starting"  # its process opens the server or the file
    UP = "up"  # it takes packets
    DOWN = "down"  # it does not; it is tried again
    OFF = "off"  # it has ended, or has not begun


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream at one moment. Latency runs from a frame's last packet to its encoded packet."""

    name: str
    state: StreamState
    model: str  # what runs now: a step of the ladder, when the device is too slow
    device: str
    input: str  # "320x180", or "" before the first frame
    output: str
    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    dropped_by: Mapping[str, int] = field(default_factory=dict)  # cause: "late", "full", "lost"
    fps: float = 0.0  # over the last seconds
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    reconnects: int = 0
    stalled_s: float = 0.0  # since a frame was finished, while others wait
    rate: float = 0.0  # nominal pictures a second; 0 before the first frame
    audio: bool = False  # whether the source has any
    wanted: str = ""  # the model that was asked for
    aspect: float = 0.0  # display width / height; 0 before the first frame
    self_check_gain_db: float | None = None  # over bicubic, by the last check; None: it gave none
    self_check_loses: bool = False  # the network has been worse than bicubic for long
    self_checks: Mapping[str, int] = field(default_factory=dict)  # "made", "skipped", "failed"
    message: str = ""  # why it has ended with a failure, for people


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """One output of a stream at one moment: a server it is published to, its HLS or its recording.

    ``name`` is unique within the stream; ``target`` holds no secret.
    """

    name: str
    target: str  # an address or a folder
    state: OutputState
    dropped: int = 0  # packets that it was too slow for
    restarts: int = 0  # of the process that writes it
