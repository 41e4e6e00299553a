"""A chain of 3x3 convolutions, some rows at a time: what one strip needs of the last is kept.

No row is computed twice, and no more of a layer is held than a strip of it.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Layer", "in_strips"]

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
            strip = then(F.conv2d(strip, conv.weight, conv.bias, padding=(0, 1)))
        else:
            yield strip
        if bottom == height:
            return


def _extended(strip: Tensor, before: Tensor | None, *, is_last: bool) -> Tensor:
    """A strip with the two rows before it, a row of zeros where the image ends."""
    if before is not None:
        strip = torch.cat([before, strip], 2)
    ends = int(before is None), int(is_last)
    return F.pad(strip, (0, 0, *ends)) if any(ends) else strip
