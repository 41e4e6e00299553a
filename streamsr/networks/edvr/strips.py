"""A chain of 3x3 convolutions, some rows at a time: what one strip needs of the last is kept.

No row is computed twice, and no more of a layer is held than a strip of it.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Layer", "in_strips"]

CHANNELS, ROW = 16, 4

Layer = tuple[nn.Conv2d, Callable[[Tensor], Tensor]]
"""A 3x3 convolution, and what is done to each of its pixels, or makes several of one."""


def in_strips(x: Tensor, layers: Sequence[Layer], rows: int) -> Iterator[Tensor]:
    """Yields what ``layers`` make of ``x`` (b, c, h, w), from the top down, some rows at a time.

    They see ``rows`` of it at a time, fewer than twice as many at the end. No gradient flows.
    """
    height = x.shape[2]
    kept: list[Tensor | None] = [None] * len(layers)
    for top in range(0, height, rows):
        bottom = height if top + 2 * rows > height else top + rows
        strip = x[:, :, top:bottom]
        for place, (conv, then) in enumerate(layers):
            strip = _extended(strip, kept[place], is_last=bottom == height)
            kept[place] = strip[:, :, -2:].clone()
            if strip.shape[2] < 3:
                break  # of this layer there is no row yet
            strip = then(_convolved(strip, conv))
        else:
            yield strip
        if bottom == height:
            return


def _convolved(strip: Tensor, conv: nn.Conv2d) -> Tensor:
    """Its rows but for the outer two. A CPU's libraries make 16 channels where fewer are asked for:
    of those few, four pixels in a row are made at once, as so many channels."""
    few = strip.device.type == "cpu" and conv.out_channels <= CHANNELS // ROW
    if not few or strip.shape[3] % ROW:
        return F.conv2d(strip, conv.weight, conv.bias, padding=(0, 1))
    weight = conv.weight.new_zeros(ROW, *conv.weight.shape[:3], 2 + ROW)
    for pixel, shifted in enumerate(weight):
        shifted[..., pixel : pixel + 3] = conv.weight
    weight = weight.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    bias = None if conv.bias is None else conv.bias.repeat(ROW)
    made = F.conv2d(strip, weight, bias, stride=(1, ROW), padding=(0, 1))
    pixels = made.view(len(made), ROW, conv.out_channels, *made.shape[2:])
    return pixels.permute(0, 2, 3, 4, 1).flatten(3)


def _extended(strip: Tensor, before: Tensor | None, *, is_last: bool) -> Tensor:
    """A strip with the two rows before it, a row of zeros where the image ends."""
    if before is not None:
        strip = torch.cat([before, strip], 2)
    ends = int(before is None), int(is_last)
    return F.pad(strip, (0, 0, *ends)) if any(ends) else strip
