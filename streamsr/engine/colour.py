"""Colour conversion on tensors: the planes of a frame to what a network reads, and back.

Matrices are those of ITU-R BT.601, BT.709 and BT.2020, by their H.273 code points. Chroma is
filtered where it is sited: level with the left of each pair of luma columns (``chroma`` 1), else
in the middle; rows are in the middle either way.
"""

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from streamsr.frame import ColourTags, Frame, Plane
from streamsr.networks.contract import Colour
from streamsr.networks.resample import resize

__all__ = ["luma_of_rgb", "network_input", "network_output"]


def network_input(frame: Frame, colour: Colour, device: torch.device) -> Tensor:
    """Give what a network reads of ``frame``: (1 or 3, h, w) float32, as ``Colour`` states."""
    planes = [_levels(plane, device) for plane in frame.planes]
    if colour is Colour.RGB:
        return _rgb(planes, frame.colour) if not frame.is_rgb else _channels_first(planes[0]) / 255
    if frame.is_rgb:
        return luma_of_rgb(_channels_first(planes[0]) / 255)
    luma = planes[0][None]
    return (luma * (219 / 255) + 16) / 255 if frame.colour.full_range else luma / 255


def network_output(output: Tensor, frame: Frame, colour: Colour, scale: int) -> tuple[Plane, ...]:
    """Give the planes of ``frame`` upscaled, its colour description unchanged.

    ``output`` is what the network gave, (1 or 3, scale*h, scale*w). Under a luma network the
    chroma is scaled plainly, and R'G'B' changes by the luma's difference alone.
    """
    if frame.is_rgb:
        return (_packed_rgb(output, frame, colour, scale),)
    if colour is Colour.RGB:
        return _yuv420(output, frame.colour)
    luma = output[0] * 255
    if frame.colour.full_range:
        luma = (luma - 16) * (255 / 219)
    shift = _left(frame.colour) * (0.25 - 0.25 / scale)
    chroma = torch.stack([_levels(plane, output.device) for plane in frame.planes[1:]])
    height, width = (-(-side // 2) for side in luma.shape)
    chroma = resize(chroma, scale, shift_x=shift)[:, :height, :width]
    return _plane(luma), _plane(chroma[0]), _plane(chroma[1])


def luma_of_rgb(rgb: Tensor) -> Tensor:
    """BT.601 luma of limited range: (..., 3, h, w) in [0, 1] to (..., 1, h, w), black at 16/255."""
    red, green, blue = rgb.unbind(-3)
    return ((65.481 * red + 128.553 * green + 24.966 * blue + 16) / 255).unsqueeze(-3)


def _packed_rgb(output: Tensor, frame: Frame, colour: Colour, scale: int) -> Plane:
    if colour is Colour.LUMA:
        rgb = _channels_first(_levels(frame.planes[0], output.device)) / 255
        plain = resize(rgb, scale)
        output = plain + (output - luma_of_rgb(plain)) * (255 / 219)
    return _plane((output * 255).permute(1, 2, 0))


def _rgb(planes: list[Tensor], tags: ColourTags) -> Tensor:
    """(3, h, w) R'G'B' in [0, 1] of 4:2:0 planes in levels."""
    luma, chroma = planes[0], torch.stack(planes[1:])
    height, width = luma.shape
    chroma = resize(chroma, 2, shift_x=_left(tags) * 0.25)[:, :height, :width]
    black, luma_span, chroma_span = _spans(tags)
    y = (luma - black) / luma_span
    cb, cr = ((chroma - 128) / chroma_span).unbind()
    kr, kb = tags.kr_kb
    red = y + 2 * (1 - kr) * cr
    blue = y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return torch.stack([red, green, blue])


def _yuv420(rgb: Tensor, tags: ColourTags) -> tuple[Plane, ...]:
    kr, kb = tags.kr_kb
    red, green, blue = rgb.clamp(0, 1).unbind()
    y = kr * red + (1 - kr - kb) * green + kb * blue
    colour = torch.stack([(blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))])
    chroma = resize(colour, Fraction(1, 2), shift_x=_left(tags) * -0.5)
    black, luma_span, chroma_span = _spans(tags)
    cb, cr = (chroma * chroma_span + 128).unbind()
    return _plane(y * luma_span + black), _plane(cb), _plane(cr)


def _spans(tags: ColourTags) -> tuple[float, float, float]:
    """Black level, luma span, chroma span in 8-bit levels."""
    return (0.0, 255.0, 255.0) if tags.full_range else (16.0, 219.0, 224.0)


def _left(tags: ColourTags) -> bool:
    return tags.chroma == ColourTags.CHROMA_LEFT


def _levels(plane: Plane, device: torch.device) -> Tensor:
    """A plane as float32 levels; one copy, so that the decoder's memory is free again."""
    return torch.from_numpy(np.ascontiguousarray(plane)).to(device).float()


def _channels_first(rgb: Tensor) -> Tensor:
    return rgb.permute(2, 0, 1)


def _plane(levels: Tensor) -> Plane:
    """8-bit samples of ``levels``, which are used up."""
    rounded: Plane = levels.round_().clamp_(0, 255).to(torch.uint8).cpu().numpy()
    return rounded
