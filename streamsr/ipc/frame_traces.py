"""When frames passed the points of their way, and how long each leg of it took."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate

from streamsr.core.packet import Packet, Track

__all__ = ["FrameTraces", "Leg", "LegTimes", "PassedFrame"]

KEPT = 256  # of the newest frames
OUT_OF_STEP_S = 60.0  # a camera whose clock says more is not set: that leg is not known
BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)


class Leg(StrEnum):
    """A leg of a frame's way."""

    CAMERA = "camera"  # from when its camera took it, by the camera's clock, to its last packet
    ENGINE = "engine"  # from there to the upscaled frame
    ENCODER = "encoder"  # from there to its encoded packet
    SENDING = "sending"  # from there to its packet in the main process, which hands it to viewers
    SHOWN = "shown"  # from there to where a viewer sees it, as its browser says
    WHOLE = "whole"  # from its last packet until it is sent: engine, encoder, sending


@dataclass(frozen=True, slots=True)
class PassedFrame:
    """One frame; Unix seconds, 0 where a time is not known."""

    pts: int  # of its packet, in units of ``time_base``
    time_base: Fraction  # seconds
    captured: float  # by the camera's own clock
    arrived: float
    upscaled: float
    encoded: float
    sent: float


@dataclass(slots=True)
class LegTimes:
    """How long a leg took, of all frames: ``counts`` of those within each bound, and above all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def add(self, lasted_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, lasted_s)] += 1
        self.total_s += lasted_s

    def buckets(self) -> list[tuple[str, int]]:
        """Returns how many took at most so many seconds, as Prometheus has them."""
        bounds = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")
        return list(zip(bounds, accumulate(self.counts), strict=True))


class FrameTraces:
    """Notes the packets of upscaled frames as they are handed to viewers, in one thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._newest: deque[PassedFrame] = deque(maxlen=KEPT)  # by the monotonic clock
        self._legs: dict[Leg, LegTimes] = {}

    @property
    def legs(self) -> Mapping[Leg, LegTimes]:
        """The legs that are known of any frame."""
        return self._legs

    def note(self, packet: Packet) -> None:
        """Notes a packet that is sent now."""
        if packet.track is not Track.OUTPUT or not packet.arrived:
            return
        sent = self._clock()
        self._newest.append(
            PassedFrame(
                packet.pts,
                packet.time_base,
                packet.captured,
                packet.arrived,
                packet.upscaled,
                packet.encoded,
                sent,
            )
        )
        lasted = {
            Leg.ENGINE: packet.upscaled - packet.arrived,
            Leg.ENCODER: packet.encoded - packet.upscaled,
            Leg.SENDING: sent - packet.encoded,
            Leg.WHOLE: sent - packet.arrived,
        }
        on_way_s = packet.arrived + self._ahead() - packet.captured
        if 0 <= on_way_s <= OUT_OF_STEP_S:
            lasted[Leg.CAMERA] = on_way_s
        for leg, lasted_s in lasted.items():
            self._add(leg, lasted_s)

    def note_shown(self, lasted_s: Iterable[float]) -> None:
        """Notes how long frames took from being sent to being shown."""
        for each_s in lasted_s:
            self._add(Leg.SHOWN, each_s)

    def newest(self, most: int = KEPT) -> Sequence[PassedFrame]:
        """Returns the newest frames, the oldest of them first."""
        ahead = self._ahead()
        return [
            replace(
                frame,
                arrived=frame.arrived + ahead,
                upscaled=frame.upscaled + ahead,
                encoded=frame.encoded + ahead,
                sent=frame.sent + ahead,
            )
            for frame in list(self._newest)[-most:]
        ]

    def _add(self, leg: Leg, lasted_s: float) -> None:
        self._legs.setdefault(leg, LegTimes()).add(max(0.0, lasted_s))

    def _ahead(self) -> float:
        """By how much the wall clock is ahead of the monotonic one."""
        return self._wall() - self._clock()
