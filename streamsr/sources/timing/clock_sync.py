"""A live source's time stamps on our own clock: rising whatever the camera does.

Pure: times come in as arguments.
"""

from collections import deque
from fractions import Fraction

from streamsr.sources.timing.frame_times import FrameTimes
from streamsr.sources.timing.timeline import Timeline, TimePolicy

__all__ = ["TICKS", "ClockSync"]

TICKS = Fraction(1, 90_000)
"""The time base of a live stream, as RTP has it for video (RFC 6184)."""

REACH_S = Fraction(1)  # a stamp this far from where it should be is a jump, not jitter
MISTRUSTED = 4  # jumps within MISTRUST_S: the stamps mean nothing
MISTRUST_S = 60.0
MICROSECONDS = 1_000_000  # a second


class ClockSync:
    """Maps a source's seconds to ticks since the stream's start.

    The offset between the two clocks is fixed when the first frame after a connection arrives, so
    that a frame's place is the moment it arrived at, without the network's jitter. Tick 0 is the
    first frame of all. Jumps are those of a ``Timeline``. Stamps that a demuxer invented, or that
    jump again and again, are ignored: frames go by their arrival.
    """

    def __init__(self) -> None:
        self.by_arrival = False  # stamps are ignored, for the rest of the connection
        self._start_s: float | None = None  # monotonic: tick 0
        self._times = FrameTimes(TICKS)
        self.reconnected()

    def reconnected(self, *, invented: bool = False, wrap_s: Fraction | None = None) -> None:
        """Forgets the source's clock, which may have started from 0 again.

        ``invented``: the stamps to come are the demuxer's own. ``wrap_s``: they begin again there.
        """
        self.by_arrival = invented
        self._timeline = Timeline(Fraction(0), TimePolicy(wrap_s=wrap_s, reach_s=REACH_S))
        self._connected = False  # a frame has come
        self._jumped: deque[float] = deque(maxlen=MISTRUSTED)  # when

    def frame(self, source_s: float | None, arrived_s: float) -> tuple[int, bool]:
        """Returns a frame's ticks, strictly rising, and whether its time is a discontinuity."""
        now_s = self._now(arrived_s)
        broken, self._connected = not self._connected, True
        if source_s is not None and not self.by_arrival:
            lasts = self._times.step * TICKS
            placed = self._timeline.place("video", None, _exact(source_s), lasts, arrived=now_s)
            if placed.begins:
                self._note_jump(arrived_s)
            if placed.pts is not None and not self.by_arrival:
                return self._times.placed(round(placed.pts / TICKS)), broken or placed.begins
        return self._times.arrived(round(now_s / TICKS)), broken

    def audio_s(
        self, source_s: float | None, arrived_s: float, lasts_s: float = 0.0
    ) -> float | None:
        """Returns the stream seconds of audio; None while no frame has set the clocks."""
        if source_s is None or not self._connected:
            return None
        stamp, now_s = _exact(source_s), self._now(arrived_s)
        placed = self._timeline.place("audio", None, stamp, _exact(lasts_s), arrived=now_s)
        return None if placed.pts is None else float(placed.pts)

    def _note_jump(self, now_s: float) -> None:
        self._jumped.append(now_s)
        many = len(self._jumped) == MISTRUSTED
        self.by_arrival = many and now_s - self._jumped[0] < MISTRUST_S

    def _now(self, arrived_s: float) -> Fraction:
        if self._start_s is None:
            self._start_s = arrived_s
        return _exact(arrived_s - self._start_s)


def _exact(time_s: float) -> Fraction:
    return Fraction(round(time_s * MICROSECONDS), MICROSECONDS)
