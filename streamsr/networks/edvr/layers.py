"""What the parts of EDVR are made of."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Pyramid", "ResidualBlock", "blocks", "conv", "enlarge", "half_conv", "lrelu"]

Pyramid = tuple[Tensor, Tensor, Tensor]
"""Features of a frame at full, half and quarter size."""


def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, kernel // 2)


def half_conv(pair: nn.Module, x: Tensor, half: int) -> Tensor:
    """Returns what ``x`` (n, c, h, w) adds to a 3x3 convolution of two inputs side by side.

    ``half`` is 0 or 1, the place of ``x`` among the two; the bias comes with the first.
    """
    assert isinstance(pair, nn.Conv2d)
    weight = pair.weight.chunk(2, 1)[half]
    return F.conv2d(x, weight, None if half else pair.bias, padding=1)


def lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1, inplace=True)


def enlarge(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """(n, c, h, w) to the same: two convolutions and a skip."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = conv(features, features)
        self.conv2 = conv(features, features)
        for parameter in self.parameters():
            # A block starts near the identity, or 10 to 40 of them in a row would not train.
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter).data.mul_(0.1)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(x), inplace=True))
        return x + change


def blocks(features: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(features) for _ in range(count)))
