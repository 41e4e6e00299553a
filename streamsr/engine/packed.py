"""What a network of luma gave of a packed R'G'B' frame, on a CPU: its channels, enlarged by a whole
number.

The definition is ``colour.py``'s: bicubic, and the difference of the lumas added to each channel.
Both are linear, so that each channel less its luma is enlarged, and the network's luma added: a
sixth of the time.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Frame, Plane
from streamsr.networks.planes import enlarged_levels

__all__ = ["OF_LUMA", "with_luma"]

OF_LUMA = 65.481, 128.553, 24.966  # of R'G'B' in [0, 1], in levels of limited range: BT.601
KINDS = {8: cv2.CV_8U, 16: cv2.CV_16U}  # of samples, by their depth
BLACK, PER_LEVEL = 16.0, 255 / 219  # of limited range, and its levels in full range


def with_luma(luma: NDArray[np.float32], frame: Frame, scale: int) -> Plane:
    """Returns ``frame``, packed R'G'B', ``scale`` times as large, with the ``luma`` of a network.

    ``luma`` is (scale*h, scale*w) in [0, 1], black at 16/255. The samples are of the frame's depth.
    """
    levels = frame.levels_of(0)
    below = (
        cv2.transform(levels, np.array([OF_LUMA], np.float32) / 255) + np.float32(BLACK)
    ) * np.float32(PER_LEVEL)
    channels = [enlarged_levels(channel - below, scale) for channel in cv2.split(levels)]
    if frame.depth in KINDS:  # rounded, and cut at the least and the most
        kind, by = KINDS[frame.depth], float(frame.step)
        made = [
            cv2.addWeighted(luma, 255 * PER_LEVEL * by, one, by, 0, dtype=kind) for one in channels
        ]
        whole: Plane = cv2.merge(made)  # type: ignore[assignment] # of that kind
        return whole
    added = [cv2.scaleAdd(luma, 255 * PER_LEVEL, one) for one in channels]
    return frame.samples_of(0, np.asarray(cv2.merge(added), np.float32))
