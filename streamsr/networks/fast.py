"""``fast``: luma super-resolution for a CPU, plain 3x3 convolutions at the input's size.

One frame in, or a few as they are, sub-pixel convolution out (Shi et al., Real-Time Single Image
and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, 2016), and a
bicubic skip, so that the network only learns what plain scaling misses.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.resample import enlarged, unshuffled

__all__ = ["Fast", "conv_relu", "initialise"]


class Fast(nn.Module):
    """(b, window, 1, h, w) luma in [0, 1] to (b, 1, scale*h, scale*w).

    What comes out belongs to the frame that ``lookahead`` others follow in the window. With
    ``keep_mean`` its mean is that of plain scaling, whatever the network believes a camera's
    encoder to have done to it.

    The convolutions run in the dtype and memory format of their weights (bfloat16 in
    ``channels_last`` is the fast form on a CPU); the skip is always float32, since bfloat16 holds
    a luma level only to half a step.
    """

    def __init__(
        self,
        features: int = 32,
        layers: int = 10,
        scale: int = 4,
        window: int = 1,
        lookahead: int = 0,
        keep_mean: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= lookahead < window:
            raise ValueError(f"lookahead: got {lookahead}, allowed is 0 to {window - 1}")
        self.scale = scale
        self.keep_mean = keep_mean
        self.reference = window - 1 - lookahead
        widths = [window, *[features] * (layers - 1), scale * scale]
        convs = [nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)]
        initialise(convs)
        self.body = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        frame = x[:, self.reference]
        dtype = next(self.body.parameters()).dtype
        features = x[:, :, 0].to(dtype).contiguous(memory_format=torch.channels_last)
        for conv in self.body[:-1]:
            features = conv_relu(conv, features)
        detail = self.body[-1](features).float()
        if self.keep_mean:
            detail = detail - detail.mean((1, 2, 3), keepdim=True)
        # under autocast the skip's weights would be rounded and not sum to 1: training would make
        # up for that, and shift every picture by a third of a level where the skip is exact
        with torch.autocast(frame.device.type, enabled=False):
            skip = enlarged(frame.float(), self.scale)
        return unshuffled(detail + skip, self.scale)


def initialise(convs: list[nn.Conv2d]) -> None:
    """Start near the identity, which trains plain deep stacks as skips would, for free."""
    for conv in convs:
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type] # they all have one
    for conv in convs[1:-1]:
        nn.init.dirac_(conv.weight)
        conv.weight.data += 0.5 * nn.init.kaiming_normal_(torch.empty_like(conv.weight))
    convs[-1].weight.data *= 0.1


def conv_relu(conv: nn.Module, x: Tensor) -> Tensor:
    """Convolution and ReLU; on a CPU in one pass, which saves a fifth of the network's time."""
    if torch.is_inference_mode_enabled() and x.device.type == "cpu" and _FUSED is not None:
        same = [1, 1]  # padding, stride and dilation alike
        fused: Tensor = _FUSED(x, conv.weight, conv.bias, same, same, same, 1, "relu", [], "")
        return fused
    return F.relu(conv(x), inplace=True)


_FUSED = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
