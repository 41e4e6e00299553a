"""``fast``: luma super-resolution for a CPU, plain 3x3 convolutions at the input's size.

One frame in, sub-pixel convolution out (Shi et al., Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, 2016), and a bicubic
skip, so that the network only learns what plain scaling misses.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.resample import resize

__all__ = ["Fast"]


class Fast(nn.Module):
    """(b, 1, 1, h, w) luma in [0, 1] to (b, 1, scale*h, scale*w).

    The convolutions run in the dtype and memory format of their weights (bfloat16 in
    ``channels_last`` is the fast form on a CPU); the skip is always float32, since bfloat16 holds
    a luma level only to half a step.
    """

    def __init__(self, features: int = 32, layers: int = 10, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        widths = [1, *[features] * (layers - 1), scale * scale]
        self.body = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in zip(widths, widths[1:], strict=False)
        )
        self._initialise()

    def _initialise(self) -> None:
        """Start near the identity, which trains plain deep stacks as a skip would, for free."""
        for conv in self.body[1:-1]:
            nn.init.dirac_(conv.weight)
            conv.weight.data += 0.5 * nn.init.kaiming_normal_(torch.empty_like(conv.weight))
        for conv in self.body:
            nn.init.zeros_(conv.bias)
        self.body[-1].weight.data *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        frame = x[:, 0]
        weight = self.body[0].weight
        features = frame.to(weight.dtype).contiguous(memory_format=torch.channels_last)
        for conv in self.body[:-1]:
            features = F.relu(conv(features), inplace=True)
        detail = F.pixel_shuffle(self.body[-1](features).float(), self.scale)
        return resize(frame.float(), self.scale) + detail
