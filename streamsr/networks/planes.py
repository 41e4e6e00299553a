"""Planes enlarged by whole numbers, by the filters of ``resample.py``, rounded.

Each axis is filtered phase by phase: of whole scales that takes half the time of the matrices by
which ``resample.resize`` reaches any other.
"""

from fractions import Fraction
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from streamsr.core.frame import Plane
from streamsr.networks.resample import filter_phases

__all__ = ["Levels", "enlarged_levels", "enlarged_plane", "rounded"]

Levels = NDArray[np.float32]


def enlarged_plane(
    plane: Plane, scale: int, kernel: str = "bicubic", shift_x: float = 0.0, most: int = 255
) -> Plane:
    """Returns (h, w) or (h, w, c) enlarged: (scale * h, scale * w, ...).

    ``shift_x`` is that of ``resample.resize``, ``most`` the highest sample there may be: above 255
    they are uint16.
    """
    if scale == 1 and not shift_x:
        return plane
    return rounded(enlarged_levels(plane, scale, kernel, shift_x), most)


def enlarged_levels(
    plane: Plane | Levels, scale: int, kernel: str = "bicubic", shift_x: float = 0.0
) -> Levels:
    """Returns what ``enlarged_plane`` rounds, of floats too."""
    height, width, *channels = plane.shape
    levels = plane.astype(np.float32)
    if scale == 1 and not shift_x:
        return levels
    columns = [
        cv2.filter2D(levels, -1, taps[None], anchor=(at, 0), borderType=cv2.BORDER_REFLECT)
        for taps, at in _taps(kernel, scale, shift_x)
    ]
    wide = cv2.merge(columns).reshape(height, scale * width, *channels)
    lines = np.empty((height, scale, scale * width, *channels), np.float32)
    for row, (taps, at) in enumerate(_taps(kernel, scale, 0.0)):
        line, down = lines[:, row], taps[:, None]
        cv2.filter2D(wide, -1, down, dst=line, anchor=(0, at), borderType=cv2.BORDER_REFLECT)
    return lines.reshape(scale * height, scale * width, *channels)


def rounded(levels: Levels, most: int = 255) -> Plane:
    """Returns samples of ``levels``, any shape, what is below 0 of which becomes 0: uint8 up to
    255, uint16 where there may be more."""
    if most > 255:
        return np.rint(levels).clip(0, most).astype(np.uint16)
    cv2.threshold(levels, 0, 0, cv2.THRESH_TOZERO, dst=levels)
    samples: Plane = cv2.convertScaleAbs(levels)  # type: ignore[assignment] # uint8
    return samples


@cache
def _taps(kernel: str, scale: int, shift: float) -> tuple[tuple[Levels, int], ...]:
    """The weights of each phase, and which of them lies on the phase's own input pixel."""
    phases, _, before = filter_phases(
        kernel, Fraction(scale), shift, torch.float32, torch.device("cpu")
    )
    taps = []
    for weights in phases.numpy():
        used = np.flatnonzero(np.abs(weights) > 1e-7)
        first, last = int(used[0]), int(used[-1])
        taps.append((weights[first : last + 1], before - first))
    return tuple(taps)
