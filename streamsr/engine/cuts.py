"""Scene cuts: whether a picture has anything to do with the one before it."""

import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Plane

__all__ = ["CutDetector"]

GRID = (9, 16)  # cells down and across: motion inside a cell does not count
HISTOGRAM_BINS = 32
CELLS_CHANGED = 15.0  # mean difference of the cells, in levels
HISTOGRAM_CHANGED = 0.25  # share of pixels in another bin


class CutDetector:
    """Compares each luma plane with the one before it.

    A cut changes both where the light is (cell means) and how much there is of each level
    (histogram). A pan changes the first alone, a flash or fade moves both slowly or evenly.
    """

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def is_cut(self, luma: Plane) -> bool:
        """Take the next luma plane, (h, w) uint8; False for the first."""
        now = _cells(luma), _histogram(luma)
        before, self._before = self._before, now
        if before is None:
            return False
        # a flash or a change of exposure moves every cell alike: what is left of it is no cut
        moved = now[0] - before[0]
        cells = float(np.abs(moved - np.median(moved)).mean())
        histogram = float(np.abs(now[1] - before[1]).sum()) / 2
        return cells > CELLS_CHANGED and histogram > HISTOGRAM_CHANGED

    def reset(self) -> None:
        self._before = None


def _cells(luma: Plane) -> NDArray[np.float32]:
    rows, columns = (max(1, side // cells) for side, cells in zip(luma.shape, GRID, strict=True))
    height, width = luma.shape[0] // rows * rows, luma.shape[1] // columns * columns
    blocks = luma[:height, :width].reshape(height // rows, rows, width // columns, columns)
    means: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)
    return means


def _histogram(luma: Plane) -> NDArray[np.float32]:
    sample = luma[::2, ::2]
    counts = np.bincount((sample >> 3).ravel(), minlength=HISTOGRAM_BINS)
    return (counts / sample.size).astype(np.float32)
