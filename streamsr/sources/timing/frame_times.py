"""Where decoded frames go: strictly rising, whatever their stamps are.

Pure: times come in as arguments.
"""

from __future__ import annotations

from fractions import Fraction

__all__ = ["FrameTimes"]

STUCK = 3  # repetitions of a stamp: it says nothing any more
NEAR_S = Fraction(1, 1000)  # less apart than any two frames are: muxers part equal stamps by a tick
AHEAD_S = Fraction(1, 2)  # of its stamp, that a repeated frame may be placed
SMOOTHED = 8  # frames


class FrameTimes:
    """Times of decoded frames in units of a time base, strictly rising, ``step`` a frame.

    A frame without a stamp follows the one before it, and so do frames whose stamps stand still.
    """

    def __init__(self, base: Fraction, step: int | None = None) -> None:
        """``step`` None: as the frames turn out to be."""
        self._learns = step is None
        self.step = max(1, step or 0)
        self._ahead = max(1, int(AHEAD_S / base))
        self._near = max(1, int(NEAR_S / base))
        self._last: int | None = None  # where the newest frame is
        self._stamp: int | None = None  # that it had
        self._apart = (0, 0)  # from frame to frame, the newest two
        self._repeated = 0  # how often it has come again
        self._pushed = False  # the newest frame is not where its stamp says
        self.moved = 0  # frames that are not where their stamps say

    def placed(self, pts: int | None) -> int:
        """Returns where a frame goes, whose stamp is ``pts``."""
        last = self._last
        stands = pts is not None and self._stamp is not None and abs(pts - self._stamp) < self._near
        self._repeated = self._repeated + 1 if stands else 0
        self._stamp = pts
        if last is None:
            self._last = pts or 0
        elif pts is None:
            self._last = last + max(self.step, min(self._apart))
        elif self._repeated >= STUCK:
            self._last = last + self.step
        elif pts > last and not stands and (not self._pushed or pts - last >= self.step // 2):
            self._last = pts
        else:
            self._last = last + max(1, min(self.step // 2, pts + self._ahead - last))
        self._pushed = pts is not None and self._last != pts
        self.moved += self._pushed
        if last is not None:
            self._apart = (self._apart[1], self._last - last)
            if self._learns and self._last == pts:
                usual = min(self._apart) or self._apart[1]  # a gap alone is none
                more = (usual - self.step) // (SMOOTHED if self.step > 1 else 1)
                self.step = max(1, self.step + more)
        return self._last

    def arrived(self, pts: int) -> int:
        """Returns where a frame without a stamp goes, that arrived then: in a burst they are half a
        step apart."""
        soonest = pts if self._last is None else self._last + max(1, self.step // 2)
        if pts >= soonest:
            return self.placed(pts)
        self._last = soonest
        return soonest
