"""A live source's time stamps on our own clock: rising whatever the camera does.

Pure: times come in as arguments.
"""

from fractions import Fraction

__all__ = ["TICKS", "ClockSync"]

TICKS = Fraction(1, 90_000)
"""The time base of a live stream, as RTP has it for video (RFC 6184)."""

JUMP_S = 1.0  # a stamp this far from where it should be is a jump, not jitter
LAG_S = 0.2  # beyond it the camera's clock is drifting from ours, and is followed slowly
SLEW_S = 0.001  # a frame: too little to see or to hear


class ClockSync:
    """Maps a source's seconds to ticks since the stream's start.

    The offset between the two clocks is fixed when the first frame after a connection arrives, so
    that a frame's place is the moment it arrived at, without the network's jitter. Tick 0 is the
    first frame of all.
    """

    def __init__(self) -> None:
        self._start_s: float | None = None  # monotonic: tick 0
        self._offset_s: float | None = None  # source seconds to stream seconds; None: not known
        self._discontinuous = True  # the next frame is the first of a connection
        self._last = -1  # ticks of the newest frame

    def reconnected(self) -> None:
        """Forgets the source's clock, which may have started from 0 again."""
        self._offset_s = None
        self._discontinuous = True

    def frame(self, source_s: float | None, arrived_s: float) -> tuple[int, bool]:
        """Returns a frame's ticks, strictly rising, and whether its time is a discontinuity."""
        if self._start_s is None:
            self._start_s = arrived_s
        now_s = arrived_s - self._start_s
        discontinuous, self._discontinuous = self._discontinuous, False
        if source_s is None:
            place_s = now_s
        else:
            place_s = source_s + (now_s - source_s if self._offset_s is None else self._offset_s)
            if abs(place_s - now_s) > JUMP_S:
                place_s, discontinuous = now_s, True
            elif abs(place_s - now_s) > LAG_S:
                place_s += SLEW_S if place_s < now_s else -SLEW_S
            self._offset_s = place_s - source_s
        self._last = max(self._last + 1, round(place_s / TICKS))
        return self._last, discontinuous

    def audio_s(self, source_s: float | None) -> float | None:
        """Returns the stream seconds of audio; None while no frame has set the clocks."""
        if source_s is None or self._offset_s is None:
            return None
        return source_s + self._offset_s
