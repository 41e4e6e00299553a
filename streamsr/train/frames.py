"""Frames as training and evaluation compare them: tensors and 8-bit levels, whole and shrunk."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil

import cv2
import numpy as np
import torch
from torch import Tensor

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.colour import network_input, network_output
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize

__all__ = [
    "degrade_bd",
    "degrade_bicubic",
    "fitted",
    "in_range",
    "levels",
    "pixels_of",
    "whole_levels",
]

BD_SIGMA = 0.4  # of the sampled pixels' distance: 1.6 pixels at x4
BT601 = ColourTags(matrix=ColourTags.BT601_525, primaries=6, transfer=6)


def whole_levels(x: Tensor) -> Tensor:
    """Rounds samples in [0, 1] to the levels 0 to 255, floats of any shape."""
    return (x * 255).round().clamp(0, 255)


def levels(samples: Tensor) -> Plane:
    """Returns samples in levels, of any shape, rounded to uint8."""
    rounded: Plane = samples.round().clamp(0, 255).to(torch.uint8).numpy()
    return rounded


def pixels_of(frame: Frame, colour: Colour) -> Plane:
    """Returns what a network of that colour reads of ``frame``: (1 or 3, h, w) uint8."""
    return levels(network_input(frame, colour, torch.device("cpu")) * 255)


def degrade_bicubic(truth: Tensor, scale: int) -> Tensor:
    """Shrinks as the papers' BI degradation does: antialiased bicubic, quantised to 8 bits.

    (..., h, w) in [0, 1], sides multiples of ``scale``, to (..., h/scale, w/scale).
    """
    return whole_levels(resize(truth, Fraction(1, scale))) / 255


def degrade_bd(truth: Plane, scale: int) -> Plane:
    """Shrinks as the BD degradation of the standard sets does (BDx4 of Vid4, by the script of
    Chan et al., BasicVSR, 2021): a Gaussian, then one pixel of ``scale`` a side, quantised.

    (h, w, ...) levels, sides multiples of ``scale``. The kernel has an even number of taps where
    the scale is even, so that a pixel lies in the middle of what it stands for, as in bicubic.
    """
    sigma = BD_SIGMA * scale
    taps = 2 * ceil(3 * sigma) + 2 - scale % 2
    line = np.exp(-((np.arange(taps) - (taps - 1) / 2) ** 2) / (2 * sigma**2))
    line /= line.sum()
    centre = (taps - 1) // 2
    blurred = cv2.sepFilter2D(
        truth, cv2.CV_32F, line, line, anchor=(centre, centre), borderType=cv2.BORDER_REPLICATE
    )
    first = (scale - 1) // 2
    sampled: Plane = np.rint(blurred[first::scale, first::scale]).astype(np.uint8)
    return sampled


def in_range(planes: Sequence[Tensor], tags: ColourTags, full: bool) -> tuple[Tensor, ...]:
    """Returns (Y, Cb, Cr) of ``tags`` in levels of full or of limited range, not rounded."""
    black, luma_span, chroma_span = tags.spans
    wanted_black, wanted_luma, wanted_chroma = replace(tags, full_range=full).spans
    luma, *chroma = planes
    return (
        (luma - black) * (wanted_luma / luma_span) + wanted_black,
        *((plane - 128) * (wanted_chroma / chroma_span) + 128 for plane in chroma),
    )


def fitted(frame: Frame, multiple: int) -> Frame:
    """Returns the frame in 4:2:0, its sides cut down to multiples of an even ``multiple``.

    R'G'B' becomes BT.601, whose luma is the papers'.
    """
    frame = frame.cropped(multiple)
    if not frame.is_rgb:
        return frame
    rgb = torch.from_numpy(frame.planes[0].copy()).permute(2, 0, 1) / 255
    grey = np.zeros((frame.height // 2, frame.width // 2), np.uint8)
    planes = (np.zeros((frame.height, frame.width), np.uint8), grey, grey)
    empty = replace(frame, planes=planes, colour=BT601)  # what the result is to be like
    return replace(empty, planes=network_output(rgb, empty, Colour.RGB))
