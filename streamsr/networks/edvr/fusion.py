"""The fusion of EDVR: temporal and spatial attention (TSA), or one convolution."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.edvr.layers import conv, enlarge, lrelu

__all__ = ["TSAFusion", "fuse"]

BLOCK_PX = 1 << 13  # that are fused at once: beside each other the frames of a window are large


def fuse(fusion: nn.Module, aligned: Sequence[Tensor]) -> Tensor:
    """Returns the features (b, c, h, w) of aligned frames (b, c, h, w), by place in the window."""
    if isinstance(fusion, TSAFusion):
        return fusion.fuse(aligned)
    return _pointwise([fusion], aligned, [None] * len(aligned))[0]


class TSAFusion(nn.Module):
    """Fuses aligned frames, weighed by their likeness to the centre, and attends to places."""

    def __init__(self, features: int, frames: int, centre: int) -> None:
        super().__init__()
        self.centre = centre
        self.temporal_attn1 = conv(features, features)
        self.temporal_attn2 = conv(features, features)
        self.feat_fusion = conv(frames * features, features, 1)
        self.spatial_attn1 = conv(frames * features, features, 1)
        self.spatial_attn2 = conv(2 * features, features, 1)
        self.spatial_attn3 = conv(features, features)
        self.spatial_attn4 = conv(features, features, 1)
        self.spatial_attn5 = conv(features, features)
        self.spatial_attn_l1 = conv(features, features, 1)
        self.spatial_attn_l2 = conv(2 * features, features)
        self.spatial_attn_l3 = conv(features, features)
        self.spatial_attn_add1 = conv(features, features, 1)
        self.spatial_attn_add2 = conv(features, features, 1)

    def forward(self, aligned: Tensor) -> Tensor:
        """(b, t, c, h, w) to (b, c, h, w)."""
        return self.fuse(aligned.unbind(1))

    def fuse(self, aligned: Sequence[Tensor]) -> Tensor:
        """Frames (b, c, h, w), by place in the window, to (b, c, h, w)."""
        centre: Tensor = self.temporal_attn1(aligned[self.centre])
        weights = [self._weight(frame, centre) for frame in aligned]
        fused, attention = _pointwise([self.feat_fusion, self.spatial_attn1], aligned, weights)
        attended: Tensor = self.spatial_attn5(enlarge(self._spatial(lrelu(attention))))
        added: Tensor = self.spatial_attn_add2(lrelu(self.spatial_attn_add1(attended)))
        # An untrained attention is near 0.5, and doubled it leaves the fused features alone.
        return lrelu(fused) * attended.sigmoid() * 2 + added

    def _weight(self, frame: Tensor, centre: Tensor) -> Tensor:
        """What each pixel of a frame counts, by its likeness to the centre's: (b, 1, h, w)."""
        embedded: Tensor = self.temporal_attn2(frame)
        return (embedded * centre).sum(1, keepdim=True).sigmoid()

    def _spatial(self, attention: Tensor) -> Tensor:
        """(b, c, h, w) to the attention's features (b, c, h / 2, w / 2), out of a pyramid."""
        attention = lrelu(self.spatial_attn2(_pooled(attention)))
        level = lrelu(self.spatial_attn_l1(attention))
        level = lrelu(self.spatial_attn_l2(_pooled(level)))
        level = lrelu(self.spatial_attn_l3(level))
        attention = lrelu(self.spatial_attn3(attention)) + enlarge(level)
        return lrelu(self.spatial_attn4(attention))


def _pointwise(
    convs: Sequence[nn.Module], frames: Sequence[Tensor], weights: Sequence[Tensor | None]
) -> list[Tensor]:
    """Returns 1x1 ``convs`` of weighed ``frames`` side by side, some rows at a time."""
    rows = max(1, BLOCK_PX // frames[0].shape[3])
    blocks: list[list[Tensor]] = [[] for _ in convs]
    for top in range(0, frames[0].shape[2], rows):
        at = slice(top, top + rows)
        weighed = [
            frame[:, :, at] if weight is None else frame[:, :, at] * weight[:, :, at]
            for frame, weight in zip(frames, weights, strict=True)
        ]
        beside = torch.cat(weighed, 1)
        for convolve, done in zip(convs, blocks, strict=True):
            done.append(convolve(beside))
    return [torch.cat(done, 2) for done in blocks]


def _pooled(x: Tensor) -> Tensor:
    """(b, c, h, w) to (b, 2c, h / 2, w / 2): maxima, then means."""
    return torch.cat([F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1)], 1)
