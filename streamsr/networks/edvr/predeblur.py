"""The part of EDVR that sharpens blurred frames before their features are made."""

from torch import Tensor, nn

from streamsr.networks.edvr.layers import ResidualBlock, blocks, conv, enlarge, lrelu

__all__ = ["Predeblur"]


class Predeblur(nn.Module):
    """(n, channels, h, w) frames to (n, c, h, w) features, a quarter of the size with ``hr_in``."""

    def __init__(self, channels: int, features: int, hr_in: bool) -> None:
        super().__init__()
        self.hr_in = hr_in
        self.conv_first = conv(channels, features)
        if hr_in:
            self.stride_conv_hr1 = conv(features, features, stride=2)
            self.stride_conv_hr2 = conv(features, features, stride=2)
        self.stride_conv_l2 = conv(features, features, stride=2)
        self.stride_conv_l3 = conv(features, features, stride=2)
        self.resblock_l3 = ResidualBlock(features)
        self.resblock_l2_1 = ResidualBlock(features)
        self.resblock_l2_2 = ResidualBlock(features)
        self.resblock_l1 = blocks(features, 5)

    def forward(self, x: Tensor) -> Tensor:
        level1 = lrelu(self.conv_first(x))
        if self.hr_in:
            level1 = lrelu(self.stride_conv_hr1(level1))
            level1 = lrelu(self.stride_conv_hr2(level1))
        level2 = lrelu(self.stride_conv_l2(level1))
        level3 = lrelu(self.stride_conv_l3(level2))
        level2 = self.resblock_l2_1(level2) + enlarge(self.resblock_l3(level3))
        level1 = self.resblock_l1[:2](level1) + enlarge(self.resblock_l2_2(level2))
        deblurred: Tensor = self.resblock_l1[2:](level1)
        return deblurred
