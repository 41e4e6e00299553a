"""What a stream says of itself while it runs, for pages, commands and metrics."""

from dataclasses import dataclass

__all__ = ["StreamStatus"]


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream at one moment. Latency runs from a frame's last packet to its encoded packet."""

    name: str
    state: str  # "starting", "live", "down" (the last picture is held) or "ended"
    model: str
    device: str
    input: str  # "320x180", or "" before the first frame
    output: str
    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    fps: float = 0.0  # over the last seconds
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    reconnects: int = 0
    stalled_s: float = 0.0  # since a frame was finished, while others wait
    aspect: float = 0.0  # display width / height; 0 before the first frame
    message: str = ""  # the newest event, for people
