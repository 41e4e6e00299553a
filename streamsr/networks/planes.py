"""Planes of 8 bits: enlarged by the filters of ``resample.py``, and rounded."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from streamsr.core.frame import Plane
from streamsr.networks.resample import resize

__all__ = ["Levels", "enlarged_plane", "rounded"]

Levels = NDArray[np.float32]


def enlarged_plane(plane: Plane, scale: int) -> Plane:
    """Returns (h, w) uint8 enlarged by bicubic: (scale * h, scale * w)."""
    if scale == 1:
        return plane
    with torch.inference_mode():
        levels = resize(torch.from_numpy(plane.astype(np.float32)), scale)
        return rounded(levels.contiguous().numpy())


def rounded(levels: Levels, out: Plane | None = None) -> Plane:
    """Returns 8-bit samples of ``levels``, any shape, which are overwritten; ``out`` if given."""
    cv2.threshold(levels, 0, 0, cv2.THRESH_TOZERO, dst=levels)
    samples: Plane = cv2.convertScaleAbs(levels, dst=out)  # type: ignore[assignment] # uint8
    return samples
