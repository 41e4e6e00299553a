"""Colour conversion: a frame's planes to what a network reads, and back.

Owns arithmetic on tensors of any device. ``TorchConverter`` is the definition that the CUDA
kernels (``cuda/kernels.py``) are held to, and their stand-in where CuPy is missing. Matrices are
those of ITU-R BT.601, BT.709 and BT.2020, by their H.273 code points.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.packed import OF_LUMA, with_luma
from streamsr.engine.resample import chroma_is_left, chroma_shift, resize_chroma
from streamsr.networks.facts import Colour
from streamsr.networks.planes import rounded
from streamsr.networks.resample import resize

__all__ = [
    "Converter",
    "Planes",
    "TorchConverter",
    "luma_of_rgb",
    "luma_plane",
    "network_input",
    "network_output",
    "plane_of",
]

CPU = torch.device("cpu")

Planes = tuple[Tensor, ...]
"""uint8, or float32 levels of 8 bits where a frame has more: (Y, Cb, Cr), each (h, w), of 4:2:0; or
one packed (h, w, 3) R'G'B'. All on one device."""


class Converter(Protocol):
    """Converts between the planes of a frame and one network, on the current CUDA stream."""

    def read(self, planes: Planes, tags: ColourTags, out: Tensor) -> None:
        """Writes what the network reads of ``planes`` into ``out``: (c, h', w'), float.

        h' and w' are h and w, or more: the right and the bottom are then padded with the edge
        pixel.
        """

    def write(
        self, output: Tensor, source: Planes, tags: ColourTags, out: Planes, bad: Tensor
    ) -> None:
        """Writes what the network gave, (c, h, w) float32, into the planes ``out`` of that size.

        ``source`` are the planes it was made of: a luma network's chroma is theirs, bicubic.
        ``bad``, (1,) int32, becomes 1 where ``output`` holds a value that is not finite, else 0;
        the planes then hold anything.
        """


class TorchConverter:
    """The functions of this module as a converter."""

    def __init__(self, colour: Colour) -> None:
        self._colour = colour

    def read(self, planes: Planes, tags: ColourTags, out: Tensor) -> None:
        pixels = _network_pixels(planes, tags, self._colour)
        height, width = pixels.shape[1:]
        out[:, :height, :width] = pixels
        out[:, :height, width:] = out[:, :height, width - 1 : width]
        out[:, height:] = out[:, height - 1 : height]

    def write(
        self, output: Tensor, source: Planes, tags: ColourTags, out: Planes, bad: Tensor
    ) -> None:
        bad.copy_(~torch.isfinite(output.sum()))
        levels = _output_levels(output, source, tags, self._colour)
        for plane, level in zip(out, levels, strict=True):
            plane.copy_(level.round().clamp_(0, 255))


def network_input(frame: Frame, colour: Colour, device: torch.device = CPU) -> Tensor:
    """Returns what a network reads of ``frame``: (1 or 3, h, w) float32, as ``Colour`` states."""
    return _network_pixels(_tensors(frame, device), frame.colour, colour)


def luma_plane(frame: Frame) -> Plane:
    """Returns what a network of luma reads of ``frame``, in 8-bit levels of limited range: (h, w).

    It may be the decoder's memory.
    """
    if not frame.is_rgb and not frame.colour.full_range and frame.depth == 8:
        return frame.planes[0]
    return plane_of(network_input(frame, Colour.LUMA)[0] * 255)


def network_output(
    output: Tensor, frame: Frame, colour: Colour, size: tuple[int, int] | None = None
) -> tuple[Plane, ...]:
    """Returns the planes of ``frame`` upscaled, its colour description unchanged.

    ``output`` is what the network gave, (1 or 3, h, w) in [0, 1], or uint8 levels: resized by
    bicubic where it is not of ``size``, width and height. Under a luma network the chroma is
    bicubic, and R'G'B' changes by the luma's difference alone.
    """
    width, height = size or (output.shape[2], output.shape[1])
    if output.shape[1:] != (height, width):
        made = resize(output.float(), _scales((height, width), output.shape[1:]))
        if output.dtype is torch.uint8:
            made = made / 255 if frame.depth > 8 else torch.from_numpy(plane_of(made[0]))[None]
        output = made
    if colour is Colour.LUMA and not frame.is_rgb:
        return _luma_of(output, frame), *resize_chroma(frame, width, height)
    if colour is Colour.LUMA and output.device == CPU and not width % frame.width:
        scale = width // frame.width
        if height == scale * frame.height:
            return (with_luma(_unit(output)[0].numpy(), frame, scale),)
    levels = _output_levels(_unit(output), _tensors(frame, output.device), frame.colour, colour)
    return tuple(_samples_of(frame, number, level) for number, level in enumerate(levels))


def _samples_of(frame: Frame, number: int, levels: Tensor) -> Plane:
    """Samples of one of a frame's planes, of its depth."""
    return plane_of(levels) if frame.depth == 8 else frame.samples_of(number, levels.cpu().numpy())


def plane_of(levels: Tensor) -> Plane:
    """Returns 8-bit samples of float32 ``levels``, any shape, which may be overwritten."""
    return rounded(np.ascontiguousarray(levels.cpu().numpy()))


def luma_of_rgb(rgb: Tensor) -> Tensor:
    """BT.601 luma of limited range: (..., 3, h, w) in [0, 1] to (..., 1, h, w), black at 16/255."""
    red, green, blue = rgb.unbind(-3)
    of_red, of_green, of_blue = OF_LUMA
    return ((of_red * red + of_green * green + of_blue * blue + 16) / 255).unsqueeze(-3)


def _tensors(frame: Frame, device: torch.device) -> Planes:
    """The planes; on a CPU they may be the decoder's memory."""
    if frame.depth > 8:
        levels = [frame.levels_of(number) for number in range(len(frame.planes))]
        return tuple(torch.from_numpy(plane).to(device) for plane in levels)
    return tuple(torch.from_numpy(np.ascontiguousarray(p)).to(device) for p in frame.planes)


def _network_pixels(planes: Planes, tags: ColourTags, colour: Colour) -> Tensor:
    """What a network reads of ``planes``: (1 or 3, h, w) float32, as ``colour`` states."""
    levels = [plane.float() for plane in planes]
    if len(planes) == 1:
        rgb = levels[0].permute(2, 0, 1) / 255
        return rgb if colour is Colour.RGB else luma_of_rgb(rgb)
    if colour is Colour.RGB:
        return _rgb_of_yuv420(levels, tags)
    luma = levels[0][None]
    return (luma * (219 / 255) + 16) / 255 if tags.full_range else luma / 255


def _scales(after: Sequence[int], before: Sequence[int]) -> tuple[Fraction, Fraction]:
    """By how much the height and the width, which come first in both, have grown."""
    return Fraction(after[0], before[0]), Fraction(after[1], before[1])


def _output_levels(output: Tensor, source: Planes, tags: ColourTags, colour: Colour) -> Planes:
    """The planes of what a network gave of ``source``, in levels, float32.

    ``output`` is (1 or 3, h, w) of any size. Not rounded, not clipped.
    """
    scales = _scales(output.shape[1:], source[0].shape)
    if len(source) == 1:
        return (_packed_levels(output, source[0], colour, scales),)
    if colour is Colour.RGB:
        return _yuv420_of_rgb(output, tags)
    luma = _luma_levels(output, tags)
    shift = chroma_shift(tags, scales[1])
    height, width = (-(-side // 2) for side in luma.shape)
    chroma = resize(torch.stack(source[1:]).float(), scales, shift_x=shift)
    return luma, *chroma[:, :height, :width].unbind()


def _unit(output: Tensor) -> Tensor:
    """What a network gave as float32 in [0, 1]."""
    return output.float() / 255 if output.dtype is torch.uint8 else output.float()


def _luma_of(output: Tensor, frame: Frame) -> Plane:
    """The plane of what a network of luma gave; levels that suit the frame stay as they are."""
    if output.dtype is torch.uint8 and not frame.colour.full_range and frame.depth == 8:
        levels: Plane = output[0].numpy()
        return levels
    return _samples_of(frame, 0, _luma_levels(_unit(output), frame.colour))


def _luma_levels(output: Tensor, tags: ColourTags) -> Tensor:
    """What a network of luma gave, (1, h, w) with black at 16/255, in the levels of ``tags``."""
    luma = output[0] * 255
    return (luma - 16) * (255 / 219) if tags.full_range else luma


def _packed_levels(
    output: Tensor, source: Tensor, colour: Colour, scales: tuple[Fraction, Fraction]
) -> Tensor:
    if colour is Colour.LUMA:
        bicubic = resize(source.permute(2, 0, 1).float() / 255, scales)
        output = bicubic + (output - luma_of_rgb(bicubic)) * (255 / 219)
    return (output * 255).permute(1, 2, 0)


def _rgb_of_yuv420(levels: list[Tensor], tags: ColourTags) -> Tensor:
    """(3, h, w) R'G'B' in [0, 1] of 4:2:0 planes in levels."""
    luma, chroma = levels[0], torch.stack(levels[1:])
    height, width = luma.shape
    chroma = resize(chroma, 2, shift_x=chroma_is_left(tags) * 0.25)[:, :height, :width]
    black, luma_span, chroma_span = tags.spans
    y = (luma - black) / luma_span
    cb, cr = ((chroma - 128) / chroma_span).unbind()
    kr, kb = tags.kr_kb
    red = y + 2 * (1 - kr) * cr
    blue = y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return torch.stack([red, green, blue])


def _yuv420_of_rgb(rgb: Tensor, tags: ColourTags) -> Planes:
    kr, kb = tags.kr_kb
    red, green, blue = rgb.clamp(0, 1).unbind()
    y = kr * red + (1 - kr - kb) * green + kb * blue
    colour = torch.stack([(blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))])
    chroma = resize(colour, Fraction(1, 2), shift_x=chroma_is_left(tags) * -0.5)
    black, luma_span, chroma_span = tags.spans
    return y * luma_span + black, *(chroma * chroma_span + 128).unbind()
