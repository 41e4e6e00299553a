"""The deformable convolution on a CPU, without gradients: every sample is a row of a table.

A frame, channels last and its outside with it, is a table of small rows: a deformable group of a
pixel. A bilinear sample is a weighed sum of four rows, its mask among the weights, which is what
``embedding_bag`` computes with the CPU's vectors; ``grid_sample`` takes each channel on its own.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["deform_on_cpu"]

TAPS = 9
BLOCK_PX = 1600  # of the output at once: samples are 9 times as much, and fall out of the cache
OUTSIDE = 2  # pixels of zeros around a frame: whatever lies farther out is sampled there


def deform_on_cpu(
    x: Tensor, feature: Tensor, conv_offset: nn.Conv2d, weight: Tensor, bias: Tensor
) -> Tensor:
    """Convolves ``x`` (n, c, h, w), sampled where ``conv_offset`` of ``feature`` says.

    What ``modulated_deform_conv2d`` gives of the same offsets and masks: (n, out, h, w), channels
    last, in ``weight``'s dtype. Coordinates are float32. No gradient flows.
    """
    n, channels, height, width = x.shape
    samples = conv_offset.out_channels // 3  # of a pixel: taps of each group
    by_tap = weight.view(len(weight), channels, TAPS).transpose(1, 2).reshape(len(weight), -1, 1, 1)
    predict = _Predict(conv_offset, samples)
    out = x.new_empty((n, height, width, len(weight)), dtype=weight.dtype)
    blocks = -(-height * width // BLOCK_PX)
    rows = -(-height // min(height, blocks))  # all blocks nearly alike
    for frame, given, result in zip(x, feature, out, strict=True):
        sampled = _Samples(frame, samples)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            columns = sampled.columns(predict.rows(given, top, bottom), top)
            result[top:bottom] = _projected(columns.to(weight.dtype), by_tap, bias, width)
    return out.permute(0, 3, 1, 2)


def _projected(columns: Tensor, by_tap: Tensor, bias: Tensor, width: int) -> Tensor:
    """Samples (rows * width, 9 * c) by weights (out, 9 * c, 1, 1): (rows, width, out).

    Lines of them form a batch: on one thread, torch leaves less than 16 of one to a slower library.
    """
    rows = len(columns) // width
    batch = columns.view(max(rows, width), 1, min(rows, width), -1).permute(0, 3, 1, 2)
    return F.conv2d(batch, by_tap, bias).permute(0, 2, 3, 1).reshape(rows, width, -1)


class _Predict:
    """The convolution of offsets and masks, its channels in another order: all dy, all dx, all
    masks, each by tap and group."""

    def __init__(self, conv: nn.Conv2d, samples: int) -> None:
        groups = samples // TAPS
        tap, group = torch.arange(TAPS)[:, None], torch.arange(groups)
        down = (2 * TAPS * group + 2 * tap).flatten()
        masks = (2 * samples + TAPS * group + tap).flatten()
        order = torch.cat([down, down + 1, masks])
        assert conv.bias is not None
        self._weight, self._bias = conv.weight[order], conv.bias[order]

    def rows(self, x: Tensor, top: int, bottom: int) -> Tensor:
        """Rows of what it makes of ``x`` (c, h, w): (rows, w, channels)."""
        above, below = int(top == 0), int(bottom == x.shape[1])
        whole = above and below
        x = x[None, :, top - 1 + above : bottom + 1 - below]
        if not whole and (above or below):
            x = F.pad(x, (0, 0, above, below))
        predicted = F.conv2d(x, self._weight, self._bias, padding=(int(whole), 1))
        return predicted[0].permute(1, 2, 0).contiguous()


class _Samples:
    """A frame (c, h, w) to be sampled, ``samples`` times for each pixel: taps of each group.

    Its table holds a group after the other: neighbours across are rows beside each other.
    """

    def __init__(self, frame: Tensor, samples: int) -> None:
        channels, self._height, self._width = frame.shape
        self._channels = channels
        groups = samples // TAPS
        height, self._pitch = self._height + 2 * OUTSIDE, self._width + 2 * OUTSIDE
        table = frame.new_zeros(groups, height, self._pitch, channels // groups)
        by_group = frame.view(groups, -1, self._height, self._width).permute(0, 2, 3, 1)
        table[:, OUTSIDE:-OUTSIDE, OUTSIDE:-OUTSIDE] = by_group
        self._table = table.view(-1, channels // groups)
        tap = torch.arange(TAPS).repeat_interleave(groups)
        self._tap_y, self._tap_x = (tap // 3 - 1).float(), (tap % 3 - 1).float()
        begin = torch.arange(groups, dtype=torch.int32).repeat(TAPS) * (height * self._pitch)
        begin += OUTSIDE * (self._pitch + 1)  # the frame's first pixel
        self._corners = [begin + corner for corner in (0, 1, self._pitch, self._pitch + 1)]
        self._whole = torch.float32 if height * self._pitch < 1 << 24 else torch.float64  # exact
        self._first = -OUTSIDE * (self._pitch + 1)
        self._last = self._height * self._pitch + self._width

    def columns(self, predicted: Tensor, top: int) -> Tensor:
        """The samples of the rows from ``top`` on: (rows * w, 9 * c), by tap and channel.

        ``predicted`` is (rows, w, 3 * samples): down, across and the logits of masks.
        """
        rows, width, predictions = predicted.shape
        samples = predictions // 3
        exact = torch.promote_types(predicted.dtype, torch.float32)
        by_kind = predicted.view(rows * width, 3, samples).permute(1, 0, 2)
        parts = by_kind.to(exact, memory_format=torch.contiguous_format, copy=True)
        corner = parts[:2].floor()
        parts[:2] -= corner
        down, across, mask = parts.view(3, rows, width, samples).unbind(0)
        lower = mask.sigmoid_() * down
        upper = mask.sub_(lower)
        right = upper * across, across.mul_(lower)
        weights = upper.sub_(right[0]), right[0], lower.sub_(right[1]), right[1]
        y, x = corner.to(self._whole).view(2, rows, width, samples).unbind(0)
        y += self._tap_y + torch.arange(top, top + rows)[:, None, None]
        x += self._tap_x + torch.arange(width)[:, None]
        y.clamp_(-OUTSIDE, self._height)
        x.clamp_(-OUTSIDE, self._width)
        first = x.add_(y, alpha=self._pitch).to(torch.int32)
        first.clamp_(self._first, self._last)  # a place that is no number is any other
        indices = _beside([first + corner for corner in self._corners])
        sampled = F.embedding_bag(
            indices,
            self._table,
            _ends(len(indices)),
            mode="sum",
            per_sample_weights=_beside(weights).to(self._table.dtype),
            include_last_offset=True,
        )
        return sampled.view(rows * width, TAPS * self._channels)


@lru_cache(maxsize=16)
def _ends(count: int) -> Tensor:
    """Where the four rows of each sample begin among ``count``, and where the last end."""
    return torch.arange(0, count + 1, 4, dtype=torch.int32)


def _beside(parts: Sequence[Tensor]) -> Tensor:
    """Interleaves four tensors of a shape: (4 * n,). OpenCV does so by the CPU's vectors."""
    merged = cv2.merge([part.view(len(part), -1).numpy() for part in parts])
    return torch.from_numpy(merged).view(-1)
