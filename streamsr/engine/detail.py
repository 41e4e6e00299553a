"""What a frame of 8 bits does not hold of an image, beside the frame that was made of it.

Networks see 8 bits. What an image has beyond them, and how opaque its pixels are, is resized
plainly: a result is exact where plain scaling made it, and elsewhere what the network's 8 bits
change of plain scaling is added.
"""

from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.resample import resize_frame
from streamsr.networks.planes import enlarged_levels
from streamsr.networks.resample import resize

__all__ = ["deepened", "resized_samples"]

Levels = NDArray[np.float32]
HIGHEST = 65535
PER_LEVEL = 257  # of 16 bits in one of 8
RGB = ColourTags(0, 1, 13, True)


def deepened(made: Plane, deep: Plane, eight: Plane) -> NDArray[np.uint16]:
    """Returns ``made``, (h, w, 3) R'G'B', in 16 bits.

    ``deep`` is the image that it was made of, (h', w', 3), and ``eight`` that one in 8 bits.
    """
    height, width = made.shape[:2]
    plain = resize_frame(Frame((eight,), RGB, 0, Fraction(1)), width, height).planes[0]
    levels = _resized(deep, width, height)
    levels += PER_LEVEL * (made.astype(np.float32) - plain)
    return np.rint(np.clip(levels, 0, HIGHEST)).astype(np.uint16)


def resized_samples(samples: Plane, width: int, height: int) -> Plane:
    """Returns (h, w) or (h, w, c) samples of 8 or 16 bits resized by bicubic, in their dtype."""
    highest = 255 if samples.dtype == np.uint8 else HIGHEST
    levels = np.rint(np.clip(_resized(samples, width, height), 0, highest))
    return levels.astype(samples.dtype)


def _resized(samples: Plane, width: int, height: int) -> Levels:
    down, across = Fraction(height, samples.shape[0]), Fraction(width, samples.shape[1])
    levels = samples.astype(np.float32)
    if down == across and down.denominator == 1:
        return enlarged_levels(levels, int(down))
    with torch.inference_mode():
        planes = torch.from_numpy(levels if levels.ndim == 3 else levels[..., None])
        made = resize(planes.permute(2, 0, 1), (down, across)).permute(1, 2, 0)
    return made.contiguous().numpy().reshape(height, width, *samples.shape[2:])
