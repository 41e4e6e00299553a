"""Modulated deformable convolution in plain torch: 3x3, stride 1, padding 1.

Zhu et al., Deformable ConvNets v2, 2018, as the released EDVR lays its channels out. Owns the
sampling and the module with the released names; what the offsets are predicted from is the
network's matter.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.edvr.deform_cpu import deform_on_cpu

__all__ = ["ModulatedDeformConvPack", "modulated_deform_conv2d"]

TAPS = 9
CPU_BLOCK_PX = 2048
"""Sampled features are 9 times their input: whole frames at once fall out of a CPU's cache and
cost 3 to 4 times as long."""
GPU_BLOCK_PX = 1 << 18
"""Enough to fill a GPU, and bounds what 64 float32 channels take to 600 MB."""


def modulated_deform_conv2d(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Convolves ``x`` (n, c, h, w), each tap sampled where its offset points: (n, out, h, w).

    ``offset`` is (n, 18g, h, w) in pixels and ``mask`` (n, 9g, h, w) in [0, 1], for ``g`` groups
    of ``c / g`` input channels: of group i and tap k = 3 * row + column, dy is channel
    18i + 2k, dx is 18i + 2k + 1 and the mask is 9i + k. ``weight`` is (out, c, 3, 3), ``bias``
    (out,). Sampling is bilinear, with zeros outside the image.

    Any float dtype; the result has ``weight``'s. Coordinates are float32 or wider whatever the
    dtype: half precision holds only every fourth pixel's place from column 1024 on.
    """
    frames = max(1, _block_px(x) // (x.shape[2] * x.shape[3]))
    xs, offsets, masks = (torch.split(t, frames) for t in (x, offset, mask))
    parts = zip(xs, offsets, masks, strict=True)
    return torch.cat([_convolve(x, o, m, weight, bias) for x, o, m in parts])


def _block_px(x: Tensor) -> int:
    return CPU_BLOCK_PX if x.device.type == "cpu" else GPU_BLOCK_PX


def _convolve(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve a few frames, some rows at a time."""
    rows = max(1, _block_px(x) // x.shape[3])
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    blocks = zip(torch.split(offset, rows, 2), torch.split(mask, rows, 2), strict=True)
    outputs = []
    for index, (offsets, masks) in enumerate(blocks):
        taps = _sample(x, offsets, masks, top=index * rows)
        outputs.append(_project(taps, weight, bias))
    return torch.cat(outputs, 2)


def _sample(x: Tensor, offset: Tensor, mask: Tensor, top: int) -> Tensor:
    """Sample the taps of the rows from ``top`` on: (n, c, 9, rows, w) of ``x`` (n, c, h, w)."""
    n, channels, height, width = x.shape
    rows = offset.shape[2]
    groups = mask.shape[1] // TAPS
    grid = _grid(offset.to(x.dtype).reshape(n, groups, TAPS, 2, rows, width), top, height)
    sampled = F.grid_sample(
        x.reshape(n * groups, channels // groups, height, width),
        grid.view(n * groups, TAPS * rows, width, 2),
        padding_mode="zeros",
        align_corners=False,
    )
    sampled = sampled.view(n, groups, channels // groups, TAPS, rows, width)
    modulated = sampled * mask.to(x.dtype).reshape(n, groups, 1, TAPS, rows, width)
    return modulated.view(n, channels, TAPS, rows, width)


def _grid(offset: Tensor, top: int, height: int) -> Tensor:
    """Where ``offset`` (n, g, 9, 2, rows, w) points, as ``grid_sample`` wants: (..., 2), x first.

    An image's outer edges are -1 and 1 there, so that a pixel's centre is half a pixel inside.
    """
    rows, width = offset.shape[-2:]
    tap = torch.arange(TAPS, device=offset.device)
    y = torch.arange(top, top + rows, device=offset.device, dtype=offset.dtype)
    x = torch.arange(width, device=offset.device, dtype=offset.dtype)
    y = y[:, None] + (tap // 3 - 0.5).to(offset.dtype)[:, None, None]
    x = x + (tap % 3 - 0.5).to(offset.dtype)[:, None, None]
    to_y, to_x = 2 / height, 2 / width
    return torch.stack(
        [
            torch.add(x * to_x - 1, offset[:, :, :, 1], alpha=to_x),
            torch.add(y * to_y - 1, offset[:, :, :, 0], alpha=to_y),
        ],
        dim=-1,
    )


def _project(taps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Weigh sampled taps (n, c, 9, rows, w): (n, out, rows, w)."""
    n, _, _, rows, width = taps.shape
    columns = taps.view(n, -1, rows * width).to(weight.dtype)
    out = torch.matmul(weight.flatten(1), columns) + bias[:, None]
    return out.view(n, -1, rows, width)


class ModulatedDeformConvPack(nn.Module):
    """A deformable convolution with the convolution that predicts its offsets and masks."""

    def __init__(self, in_channels: int, out_channels: int, deformable_groups: int = 1) -> None:
        super().__init__()
        if in_channels % deformable_groups:
            raise ValueError(
                f"deformable_groups: got {deformable_groups}, "
                f"allowed is a divisor of the {in_channels} input channels"
            )
        self.offsets = 2 * TAPS * deformable_groups  # channels of conv_offset before the masks'
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.conv_offset = nn.Conv2d(in_channels, 3 * TAPS * deformable_groups, 3, padding=1)
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as nn.Conv2d does
        for parameter in self.conv_offset.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, offset_feature: Tensor) -> Tensor:
        """(n, in, h, w) twice, to (n, out, h, w): ``x`` is sampled where the feature says."""
        if x.device.type == "cpu" and not self._wants_gradient(x, offset_feature):
            return deform_on_cpu(x, offset_feature, self.conv_offset, self.weight, self.bias)
        predicted = self.conv_offset(offset_feature)
        offset, mask = predicted[:, : self.offsets], predicted[:, self.offsets :].sigmoid()
        return modulated_deform_conv2d(x, offset, mask, self.weight, self.bias)

    def _wants_gradient(self, *inputs: Tensor) -> bool:
        tensors = (*inputs, *self.parameters())
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
