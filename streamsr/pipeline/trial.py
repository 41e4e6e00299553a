"""What a self-check compares: a frame shrunk, what a network made of that, and the frame itself.

Owns the arithmetic alone: it runs no network and knows no stream. Always on the CPU.
"""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from streamsr.core.frame import Frame, Plane
from streamsr.engine.colour import network_input
from streamsr.engine.planes import chroma_shift
from streamsr.engine.resample import scaled_plainly
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize

__all__ = ["ahead_db", "cropped", "shrunk"]

CPU = torch.device("cpu")
FLAT = 0.65  # levels²: where bicubic errs less, at 50 dB, nothing is left to be won but rounding


def cropped(frame: Frame, scale: int) -> Frame:
    """The part of a frame that becomes whole pixels, of luma and of chroma, ``scale`` times
    smaller: its right and its bottom are left out. Sides below ``2 * scale`` raise ValueError."""
    height, width = (side - side % (2 * scale) for side in (frame.height, frame.width))
    if not height or not width:
        raise ValueError(
            f"frame: got {frame.width}x{frame.height}, allowed are sides from {2 * scale} on"
        )
    luma, *chroma = frame.planes
    halves = (plane[: height // 2, : width // 2] for plane in chroma)
    return replace(frame, planes=(luma[:height, :width], *halves))


def shrunk(frame: Frame, scale: int) -> Frame:
    """A frame of ``cropped``, ``scale`` times smaller on both axes: bicubic, antialiased, its
    chroma sited as before."""
    if frame.is_rgb:
        channels = [_shrunk(frame.planes[0][..., n], scale, 0.0) for n in range(3)]
        return replace(frame, planes=(np.stack(channels, axis=-1),))
    shift = -scale * chroma_shift(frame.colour, scale)  # what enlarging would add
    luma, *chroma = frame.planes
    halves = (_shrunk(plane, scale, shift) for plane in chroma)
    return replace(frame, planes=(_shrunk(luma, scale, 0.0), *halves))


def ahead_db(truth: Frame, small: Frame, upscaled: Frame) -> float | None:
    """By how much the luma PSNR of ``upscaled`` is above that of bicubic, both made of ``small``
    and compared with ``truth``, in dB. None where the picture is so flat that only rounding errs.
    """
    wanted = _luma(truth)
    ours = _squared_error(_luma(upscaled), wanted)
    plain = _squared_error(_luma(scaled_plainly(small, truth.height // small.height)), wanted)
    if plain < FLAT:
        return None
    return 10 * math.log10(plain / max(ours, FLAT / 100))


def _shrunk(plane: Plane, scale: int, shift_x: float) -> Plane:
    with torch.inference_mode():
        samples = torch.from_numpy(np.ascontiguousarray(plane)).float()
        levels = resize(samples, Fraction(1, scale), shift_x=shift_x)
        small: Plane = levels.round_().clamp_(0, 255).to(torch.uint8).numpy()
    return small


def _luma(frame: Frame) -> Tensor:
    """(h, w) in levels of limited range."""
    return network_input(frame, Colour.LUMA, CPU)[0] * 255


def _squared_error(picture: Tensor, truth: Tensor) -> float:
    return float((picture - truth).square().mean())
