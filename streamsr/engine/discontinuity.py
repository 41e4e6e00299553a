"""DiscontinuityDetector: whether a frame of a stream has anything to do with those before it.

Pure books beside the cut detector's picture: time comes with the frames, and no tensor is seen.
"""

from streamsr.core.frame import Frame
from streamsr.engine.cuts import CutDetector

__all__ = ["DiscontinuityDetector"]

GAP_S = 2.5  # between two frames: the second has nothing to do with the first


class DiscontinuityDetector:
    """Takes each frame of one stream, of which a network sees ``window`` at a time.

    A recurrent network goes on across frames that were left out: it looks for what it remembers
    where that has moved to, however far.
    """

    def __init__(self, window: int, *, recurrent: bool = False) -> None:
        self._alone = window == 1 and not recurrent
        self._recurrent = recurrent
        self._cuts = CutDetector()
        self._size = (0, 0)  # of the frame before
        self._newest_s: float | None = None  # its time

    def starts_anew(self, frame: Frame) -> bool:
        """Take the next frame; whether what is pending must be flushed before it."""
        size = frame.height, frame.width
        resized = self._size != size
        apart = self._newest_s is not None and not 0 < frame.time_s - self._newest_s <= GAP_S
        self._size, self._newest_s = size, frame.time_s
        broken = resized or apart or frame.discontinuous
        broken = broken or (frame.after_gap and not self._recurrent)
        if broken:
            self._cuts.reset()
        if self._alone:
            return resized  # a window of one frame reaches across nothing
        return self._cuts.is_cut(frame.brightness) or broken
