"""Whether a source is interlaced, seen in its rows: flags are often missing, and often wrong.

An interlaced frame holds two moments, one in its even rows and one in its odd ones, so that what
moves is combed. How combed two moments would be is seen by weaving the even rows of a frame with
the odd ones of the frame before it, and the other way about: where a frame is about as combed
itself, it holds two. Which of the two weavings is less combed says which field is the earlier one.
Where both are combed alike, as by noise, fine patterns and quick movement, it holds two moments if
its rows are more like those after next than like the next ones; in which order, that does not say.

It is pure: rows in, findings out, no clock and no library of video.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "ScanFinder", "Verdict"]

Rows = NDArray[np.int16]  # (h, w) levels of 8 bits: every row of a frame, some of its columns

MOVED = 12  # levels between two frames
COMBED = 10  # levels between a row and both of its neighbours
FEWEST = 48  # combed samples that say anything, and as a share of all:
FEWEST_SHARE = 3e-4
WHOLE_BELOW = 0.1  # of how combed the more combed weaving is,
FAR_BELOW = 0.25  # or of the less combed one: two moments are about as combed
SURE_FROM = 0.05  # how combed a frame is, times how differently combed the weavings are
SIGMAS = 4.0  # by which the weavings must differ
APART = (
    1.04  # by which a row differs more from the next one than from the one after, of two moments
)
RECENT = 10  # verdicts of which
ENOUGH = 3  # must say the same where the stream is flagged as interlaced; else of all that are kept
ENOUGH_UNFLAGGED = 8  # must, none the contrary, beside so many times as many whole frames at most:
MOST_WHOLE = 1.6  # film has 1.5; fine patterns look combed in one place, and whole in the next
LONG = 24  # verdicts without an interlaced one end it
EVERY = 4  # frames: of long progressive ones, two of four are looked at


class Verdict(Enum):
    """What one frame, beside the one before it, says."""

    NOTHING = "nothing"  # too little moves
    UNSURE = "unsure"
    WHOLE = "whole"  # one moment
    TOP_FIRST = "top field first"  # two moments
    BOTTOM_FIRST = "bottom field first"
    SOME_FIRST = "one field first"  # two moments, in an order that is not seen


ORDERS = (Verdict.TOP_FIRST, Verdict.BOTTOM_FIRST)
INTERLACED = (*ORDERS, Verdict.SOME_FIRST)


class ScanFinder:
    """Looks at a stream's frames in their order and remembers what they say.

    ``interlaced`` and ``order`` are None until enough has moved.
    """

    def __init__(self) -> None:
        self.interlaced: bool | None = None
        self.order: Verdict | None = None  # TOP_FIRST or BOTTOM_FIRST, once it is seen
        self.flagged = False  # the stream says that it is interlaced
        self.sees_all = False  # whatever it has seen: ``restore`` follows
        self._last: Rows | None = None
        self._verdicts: deque[Verdict] = deque(maxlen=LONG)  # that say anything
        self._combed = np.zeros(5, np.int64)  # see _combed; until they are enough for a verdict
        self._number = 0

    @property
    def wants(self) -> bool:
        """Whether the next frame is to be seen; ``skip`` it otherwise."""
        sure = len(self._verdicts) == LONG and not any(v in INTERLACED for v in self._verdicts)
        return self.sees_all or not sure or self._number % EVERY < 2

    @property
    def state(self) -> dict[str, Any] | None:
        """What another one needs to go on, beside the rows of the newest frame, in plain values;
        None where the stream may be interlaced."""
        if self.flagged or self.interlaced:
            return None
        return {
            "interlaced": self.interlaced,
            "order": self.order and self.order.value,
            "verdicts": [verdict.value for verdict in self._verdicts],
            "combed": self._combed.tolist(),
            "number": self._number,
            "seen": self._last is not None,
        }

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Goes on from ``state`` of another one that has seen the same newest frame; returns False
        where it cannot."""
        if self.flagged or (state["seen"] and self._last is None):
            return False
        self.interlaced, self.sees_all = state["interlaced"], False
        self.order = Verdict(state["order"]) if state["order"] else None
        self._verdicts = deque(map(Verdict, state["verdicts"]), LONG)
        self._combed[:] = state["combed"]
        self._number = state["number"]
        self._last = self._last if state["seen"] else None
        return True

    @property
    def mixed(self) -> bool:
        """Whether many frames hold one moment: film, telecined or cut in between."""
        whole = sum(verdict is Verdict.WHOLE for verdict in self._verdicts)
        return bool(self.interlaced) and whole >= 0.3 * len(self._verdicts)

    def skip(self) -> None:
        """Counts a frame that was not wanted."""
        self._number += 1
        self._last = None

    def cut(self) -> None:
        """States that the next frame has nothing to do with those before."""
        self._last = None

    def see(self, rows: Rows) -> Verdict:
        """Takes the next frame; returns what it says."""
        last, self._last = self._last, rows
        self._number += 1
        if last is None or last.shape != rows.shape or len(rows) < 5:
            return Verdict.NOTHING
        self._combed += _combed(last, rows)
        verdict = _verdict(self._combed.tolist(), rows.size)
        if verdict is not Verdict.NOTHING:
            self._combed[:] = 0
            self._verdicts.append(verdict)
            self._conclude()
        return verdict

    def _conclude(self) -> None:
        recent = list(self._verdicts)[-RECENT:]
        order = max(ORDERS, key=recent.count)
        if self._is_enough(order):
            self.interlaced, self.order = True, order if order in recent else self.order
            return
        quiet = not any(verdict in INTERLACED for verdict in self._verdicts)
        long = self.interlaced is None or len(self._verdicts) == LONG
        if quiet and long and self._verdicts.count(Verdict.WHOLE) >= 2 * ENOUGH:
            self.interlaced = False

    def _is_enough(self, order: Verdict) -> bool:
        """Whether that many frames say so that it is so."""
        if self.flagged:
            recent = list(self._verdicts)[-RECENT:]
            return recent.count(order) + recent.count(Verdict.SOME_FIRST) >= ENOUGH
        top, bottom, some, whole = map(self._verdicts.count, (*INTERLACED, Verdict.WHOLE))
        said = max(top, bottom) + some
        return said >= ENOUGH_UNFLAGGED and not min(top, bottom) and whole <= MOST_WHOLE * said


def _combed(last: Rows, rows: Rows) -> tuple[int, int, int, int, int]:
    """How many moving samples are combed: in the frame, and with its even or its odd rows woven
    into the last one; and how much they differ from the next row, and from the one after it."""
    moving = (np.abs(rows - last) > MOVED)[2:-2]
    if not moving.any():
        return 0, 0, 0, 0, 0
    even, odd = last.copy(), last.copy()
    even[::2], odd[1::2] = rows[::2], rows[1::2]
    own, top, bottom = (int(np.count_nonzero(_combs(r) & moving)) for r in (rows, even, odd))
    beside, beyond = (int(np.abs(rows[2:-2] - r).sum(where=moving)) for r in (rows[3:-1], rows[4:]))
    return own, top, bottom, beside, beyond


def _combs(rows: Rows) -> NDArray[np.bool_]:
    """Where a row is above or below both its neighbours, and those after next are as it is."""
    before, after, middle = rows[1:-3], rows[3:-1], rows[2:-2]
    up, down = middle - before, middle - after
    alike = (up ^ down) >= 0
    high = np.minimum(np.abs(up), np.abs(down)) > COMBED
    second = rows[:-4] + rows[4:] + 4 * middle - 3 * (before + after)
    return np.asarray(alike & high & (np.abs(second) > 6 * COMBED), np.bool_)


def _verdict(counts: list[int], samples: int) -> Verdict:
    """``counts`` are those of ``_combed``, of so many samples."""
    own, top, bottom, beside, beyond = counts
    most = max(top, bottom)
    if most < max(FEWEST, FEWEST_SHARE * samples):
        return Verdict.NOTHING
    if own < WHOLE_BELOW * most or own < FAR_BELOW * min(top, bottom):
        return Verdict.WHOLE
    lean = bottom - top
    if abs(lean) < SIGMAS * sqrt(most) or abs(lean) / most * own / most < SURE_FROM:
        apart = APART + SIGMAS / sqrt(most)
        return Verdict.SOME_FIRST if beside > apart * beyond else Verdict.UNSURE
    return Verdict.TOP_FIRST if lean > 0 else Verdict.BOTTOM_FIRST
