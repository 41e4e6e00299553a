"""Discontinuities: whether a frame of a stream has anything to do with those before it.

Knows no clock and no tensor: time comes with the frames.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Frame, Plane

__all__ = ["CutDetector", "DiscontinuityDetector"]

GAP_S = 2.5  # between two frames: the second has nothing to do with the first
GRID = (16, 9)  # cells across and down: motion inside a cell does not count
HISTOGRAM_BINS = 32
CELLS_CHANGED = 15.0  # mean difference of the cells, in levels
HISTOGRAM_CHANGED = 0.25  # share of pixels in another bin


class DiscontinuityDetector:
    """Takes each frame of one stream, of which a network sees ``window`` at a time.

    A recurrent network goes on across frames that were left out: it looks for what it remembers
    where that has moved to, however far.
    """

    def __init__(self, window: int, *, recurrent: bool = False) -> None:
        self._alone = window == 1 and not recurrent
        self._recurrent = recurrent
        self._cuts = CutDetector()
        self._shapes: tuple[tuple[int, ...], ...] = ()  # of the planes of the frame before
        self._newest_s: float | None = None  # its time

    def is_discontinuity(self, frame: Frame) -> bool:
        """Takes the next frame; returns whether what is pending must be flushed before it."""
        shapes = tuple(plane.shape for plane in frame.planes)
        resized = self._shapes != shapes
        apart = self._newest_s is not None and not 0 < frame.time_s - self._newest_s <= GAP_S
        self._shapes, self._newest_s = shapes, frame.time_s
        broken = resized or apart or frame.discontinuous
        broken = broken or (frame.after_gap and not self._recurrent)
        if broken:
            self._cuts.reset()
        if self._alone:
            return resized  # a window of one frame spans nothing
        return self._cuts.is_cut(frame.brightness) or broken


class CutDetector:
    """Finds scene cuts: compares each luma plane with the one before it.

    A cut changes both where the light is (cell means) and how much there is of each level
    (histogram). A pan changes the first alone, a flash or fade moves both slowly or evenly.
    """

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def is_cut(self, luma: Plane) -> bool:
        """Takes the next luma plane, (h, w) uint8; False for the first."""
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
        """Forgets the frame before."""
        self._before = None


def _cells(luma: Plane) -> NDArray[np.float32]:
    means = cv2.resize(luma.astype(np.float32), GRID, interpolation=cv2.INTER_AREA)
    return means.astype(np.float32, copy=False)


def _histogram(luma: Plane) -> NDArray[np.float32]:
    sample = luma[::2, ::2]
    counts = np.bincount((sample >> 3).ravel(), minlength=HISTOGRAM_BINS)
    return (counts / sample.size).astype(np.float32)
