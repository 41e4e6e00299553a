"""How windows are run where a device's memory is short: in smaller parts, and larger ones later.

Pure: time comes in as an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Capacity", "Fit", "fits_of"]

FIRST_S = 2.0  # until more is tried again
MOST_S = 600.0  # each time that it still does not fit, twice as long, up to this
NEXT_S = 1.0  # once more did fit: until still more is tried


@dataclass(frozen=True, slots=True)
class Fit:
    """A way to run windows. ``rows`` is 0 where none can be run."""

    rows: int  # windows of one batch
    keeps: bool = True  # what was made of a frame, for its next windows, if the network can
    tiles: int = 1  # parts of a frame, one after the other

    @property
    def text(self) -> str:
        """What it means, for those who watch."""
        if not self.rows:
            return "frames are scaled plainly"
        if self.tiles > 1:
            return f"frames are upscaled in {self.tiles} tiles"
        if not self.keeps:
            return "windows run one by one, and nothing is kept between them"
        return f"at most {self.rows} windows run as one batch"


NOTHING = Fit(0)


def fits_of(rows: int, *, ring: bool, tiles: Sequence[int]) -> list[Fit]:
    """Returns the ways there are, each of less memory than the one before.

    Batches of ``rows`` windows, half as many, and so on; where the network has a ``ring`` of what
    it keeps, one window without it; one window in so many ``tiles``; none.
    """
    batches = []
    while rows:
        batches.append(rows)
        rows //= 2
    whole = [Fit(batch) for batch in batches]
    alone = [Fit(1, keeps=False)] if ring else []
    return [*whole, *alone, *(Fit(1, keeps=False, tiles=n) for n in tiles), NOTHING]


class Capacity:
    """Which of ``fits`` is used: the first, until the memory is too short for it.

    What did not fit is tried again after two seconds, and after twice as long each time that it
    still does not; the caller loses nothing by it, as it runs the same windows by the next one.
    """

    def __init__(self, fits: Sequence[Fit]) -> None:
        self._fits = list(fits)
        self._at = 0
        self._is_trial = False  # of what did not fit before
        self._pause_s = FIRST_S
        self._again_s = 0.0  # when more is tried

    @property
    def best(self) -> Fit:
        return self._fits[0]

    def fit(self, now_s: float) -> Fit:
        """Returns the way to run the next windows."""
        if self._at and not self._is_trial and now_s >= self._again_s:
            self._at -= 1
            self._is_trial = True
        return self._fits[self._at]

    def worked(self, now_s: float) -> None:
        """Notes that the memory sufficed."""
        if self._is_trial:
            self._is_trial = False
            self._pause_s = FIRST_S
            self._again_s = now_s + NEXT_S

    def failed(self, now_s: float) -> Fit:
        """Notes that the memory was too short; returns the way to run the same windows."""
        self._pause_s = min(2 * self._pause_s, MOST_S) if self._is_trial else FIRST_S
        self._is_trial = False
        self._at = min(self._at + 1, len(self._fits) - 1)
        self._again_s = now_s + self._pause_s
        return self._fits[self._at]
