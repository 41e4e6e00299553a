"""What a stream says of itself while it runs, for pages, commands and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Self

__all__ = ["Counts", "OutputState", "OutputStatus", "StreamState", "StreamStatus"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a stream has counted. Every frame that came has left, was dropped, or is in flight."""

    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    frames_held: int = 0  # repeated while the source was down
    dropped_by: Mapping[str, int] = field(default_factory=dict)  # cause: "late", "full", "lost"
    audio_dropped: int = 0  # pieces of audio
    reconnects: int = 0
    time_jumps: int = 0  # of the source's stamps, that were joined
    encoder_faults: int = 0  # after which an encoder was begun again
    moved: int = 0  # frames whose stamps repeat, fall or stand alone

    def plus(self, earlier: "Counts") -> Self:
        """Returns this with the counts of an earlier session added."""
        sums = {f.name: getattr(self, f.name) for f in fields(Counts)}
        for name, value in sums.items():
            more = getattr(earlier, name)
            sums[name] = _sum(value, more) if name == "dropped_by" else value + more
        return replace(self, **sums)

    def cleared(self) -> Self:
        """Returns this with nothing counted."""
        return replace(self, **{f.name: getattr(Counts(), f.name) for f in fields(Counts)})

    def settled(self) -> "Counts":
        """Returns the counts of a session that has ended: what was in flight then is lost."""
        lost = self.frames_in - self.frames_out - self.frames_dropped
        return Counts().plus(self).plus(Counts(frames_dropped=lost, dropped_by={"lost": lost}))


@dataclass(frozen=True, slots=True)
class StreamStatus(Counts):
    """One stream at one moment. Latency runs from a frame's last packet to its encoded packet."""

    name: str
    state: StreamState
    model: str  # what runs now: a cheaper one than was asked for, when the device is too slow
    device: str
    input: str  # "320x180", or "" before the first frame
    output: str
    fps: float = 0.0  # over the last seconds; the mean, of one that has ended
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    stalled_s: float = 0.0  # since a frame was finished, while others wait
    rate: float = 0.0  # nominal frames a second; 0 before the first frame
    audio: bool = False  # whether the source has any
    wanted: str = ""  # the model that runs where nothing stands in its way
    precision: str = ""  # that the model computes in
    why: str = ""  # it runs, and to this size
    aspect: float = 0.0  # display width / height; 0 before the first frame
    self_check_gain_db: float | None = None  # of what is wanted; None: the last check gave none
    self_check_loses: bool = False  # what is wanted has been worse than bicubic for long
    self_checks: Mapping[str, int] = field(default_factory=dict)  # "made", "skipped", "failed"
    not_kept: tuple[str, ...] = ()  # of what the source carries, by the file, for people
    message: str = ""  # what is wrong and what is being done about it, for people
    code: str = ""  # of the event that says what is wrong; "" where all is well
    reason: str = ""  # what is wrong, for people
    since: str = ""  # ISO 8601, UTC: what is wrong is, or else its state
    doing: str = ""  # what is being done about it
    had_frame: bool = False  # it has shown one, whatever it does now
    takes_ms: tuple[float, float] = 0.0, 0.0  # a second of late: of cores by its threads, of a GPU

    def to_json(self) -> dict[str, object]:
        """Returns the object that ``--json`` prints for a stream that has ended."""
        p50_ms, p99_ms = self.latency_p50_ms, self.latency_p99_ms
        return {
            "name": self.name,
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "frames_dropped": self.frames_dropped,
            "frames_held": self.frames_held,
            "audio_dropped": self.audio_dropped,
            "fps": round(self.fps, 2) if self.fps >= 1 else float(f"{self.fps:.2g}"),
            "latency_ms": {
                "p50": p50_ms and round(p50_ms, 1),
                "p99": p99_ms and round(p99_ms, 1),
            },
            "model": self.model,
            "precision": self.precision,
            "why": self.why,
            "device": self.device,
            "reconnects": self.reconnects,
            "time_jumps": self.time_jumps,
            "encoder_faults": self.encoder_faults,
            "moved": self.moved,
            "input": self.input,
            "output": self.output,
            "not_kept": list(self.not_kept),
        }


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
    code: str = ""  # as of StreamStatus
    reason: str = ""
    since: str = ""
    doing: str = ""


def _sum(some: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {cause: some.get(cause, 0) + more.get(cause, 0) for cause in some.keys() | more.keys()}
