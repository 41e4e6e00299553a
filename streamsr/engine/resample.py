"""Resizing whole frames on the CPU to any size, their chroma sited as before.

What models that are a filter do, what a frame becomes where a network has no output for it or is
not of the size that is asked for, and the chroma beside a network of luma: the filters of
``networks/resample.py``, rounded, antialiased where a frame shrinks. Luma of 1408x1152 takes 4 ms
to 1320x1080 on one core; OpenCV's own ``resize`` takes 1.4 ms, but its cubic has a = -0.75 and
aliases: what is shown would not be what is evaluated, nor what a GPU makes.
"""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import torch

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.networks.planes import enlarged_plane, rounded
from streamsr.networks.resample import resize

__all__ = [
    "chroma_is_left",
    "chroma_shift",
    "resize_chroma",
    "resize_frame",
]

Scales = tuple[Fraction, Fraction]
"""Of the rows and of the columns."""


def resize_frame(frame: Frame, width: int, height: int, kernel: str = "bicubic") -> Frame:
    """Returns ``frame`` in that size, by a filter of ``networks/resample.py``.

    Of the size that it has, it is returned as it is.
    """
    if (frame.width, frame.height) == (width, height):
        return frame
    chroma = () if frame.is_rgb else resize_chroma(frame, width, height, kernel)
    scales = _scales(frame, width, height)
    first = _resized(frame.planes[:1], (height, width), scales, kernel, most=frame.most)
    return replace(frame, planes=(*first, *chroma))


def resize_chroma(
    frame: Frame, width: int, height: int, kernel: str = "bicubic"
) -> tuple[Plane, ...]:
    """Returns the chroma planes of a 4:2:0 frame as they are in a frame of that size."""
    scales = _scales(frame, width, height)
    shift = chroma_shift(frame.colour, scales[1])
    size = -(-height // 2), -(-width // 2)
    return _resized(frame.planes[1:], size, scales, kernel, shift, most=frame.most)


def chroma_is_left(tags: ColourTags) -> bool:
    """Returns whether chroma is sited level with the left of each pair of luma columns."""
    return tags.chroma == ColourTags.CHROMA_LEFT


def chroma_shift(tags: ColourTags, scale: int | Fraction) -> float:
    """Returns how far to the right chroma is sampled to be sited as before at ``scale``.

    In chroma pixels of the frame that is resized.
    """
    return chroma_is_left(tags) * float(0.25 - 0.25 / Fraction(scale))


def _scales(frame: Frame, width: int, height: int) -> Scales:
    return Fraction(height, frame.height), Fraction(width, frame.width)


def _resized(
    planes: tuple[Plane, ...],
    size: tuple[int, int],
    scales: Scales,
    kernel: str,
    shift: float = 0.0,
    *,
    most: int,
) -> tuple[Plane, ...]:
    """Planes of one shape, (h, w) or (h, w, 3), each resized."""
    if scales[0] == scales[1] and scales[0].denominator == 1:
        larger = [enlarged_plane(plane, int(scales[0]), kernel, shift, most) for plane in planes]
        return tuple(plane[: size[0], : size[1]] for plane in larger)
    packed = planes[0].ndim == 3
    with torch.inference_mode():
        channels = cv2.split(planes[0]) if packed else planes
        levels = torch.from_numpy(np.stack([c.astype(np.float32) for c in channels]))
        made = resize(levels, scales, kernel, shift_x=shift)[:, : size[0], : size[1]]
        lines = made.transpose(0, 1).contiguous().numpy()
    samples = rounded(lines.reshape(size[0], -1), most).reshape(lines.shape)
    images = [samples[:, number] for number in range(len(channels))]
    return (np.dstack(images),) if packed else tuple(images)
