"""The alignment of EDVR: pyramid, cascading, deformable (PCD)."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from streamsr.networks.contract import Rows
from streamsr.networks.edvr.deform import ModulatedDeformConvPack
from streamsr.networks.edvr.layers import Pyramid, conv, enlarge, half_conv, lrelu

__all__ = ["PCDAlignment"]

LEVELS = (1, 2, 3)  # of a pyramid, the finest first


class PCDAlignment(nn.Module):
    """Aligns the features of frames to those of a reference.

    What offsets are made of begins with a convolution of a frame and its reference side by side,
    which is linear in the two: ``of_frames`` and ``of_references`` are its halves, once a frame,
    and ``join`` is the rest.
    """

    def __init__(self, features: int, deformable_groups: int) -> None:
        super().__init__()

        def deformable() -> ModulatedDeformConvPack:
            return ModulatedDeformConvPack(features, features, deformable_groups)

        pair = 2 * features
        self.offset_conv1 = nn.ModuleDict({f"l{n}": conv(pair, features) for n in (3, 2, 1)})
        self.offset_conv2 = nn.ModuleDict(
            {f"l{n}": conv(features if n == 3 else pair, features) for n in (3, 2, 1)}
        )
        self.offset_conv3 = nn.ModuleDict({f"l{n}": conv(features, features) for n in (2, 1)})
        self.dcn_pack = nn.ModuleDict({f"l{n}": deformable() for n in (3, 2, 1)})
        self.feat_conv = nn.ModuleDict({f"l{n}": conv(pair, features) for n in (2, 1)})
        self.cas_offset_conv1 = conv(pair, features)
        self.cas_offset_conv2 = conv(features, features)
        self.cas_dcnpack = deformable()

    def forward(self, frames: Pyramid, references: Pyramid) -> Tensor:
        """Aligns ``frames`` (b * t, c, h, w) to ``references`` (b, c, h, w): (b * t, c, h, w)."""
        times = len(frames[0]) // len(references[0])
        beside = [reference.repeat_interleave(times, 0) for reference in references]

        def first(n: int) -> Tensor:
            pair = torch.cat([frames[n - 1], beside[n - 1]], 1)
            return cast(Tensor, self.offset_conv1[f"l{n}"](pair))

        def cascade(feature: Tensor) -> Tensor:
            return cast(Tensor, self.cas_offset_conv1(torch.cat([feature, beside[0]], 1)))

        return self._aligned(frames, first, cascade)

    def of_frames(self, frames: Pyramid) -> Rows:
        """Returns what a frame (n, c, h, w) adds to its offsets, in any window, at each level."""
        return tuple(half_conv(self.offset_conv1[f"l{n}"], frames[n - 1], 0) for n in LEVELS)

    def of_references(self, references: Pyramid) -> Rows:
        """Returns what a reference (n, c, h, w) adds to the offsets of its window's frames.

        At each level, then what it adds to those of the cascade.
        """
        halves = [half_conv(self.offset_conv1[f"l{n}"], references[n - 1], 1) for n in LEVELS]
        return *halves, half_conv(self.cas_offset_conv1, references[0], 1)

    def join(self, frames: Pyramid, ours: Rows, theirs: Rows) -> Tensor:
        """Aligns ``frames`` (n, c, h, w), with ``ours`` of them, to references with ``theirs``.

        Those are as many, or fewer: each is then that of as many frames in a row. Returns
        (n, c, h, w).
        """

        def first(n: int) -> Tensor:
            return _added(ours[n - 1], theirs[n - 1])

        def cascade(feature: Tensor) -> Tensor:
            return _added(half_conv(self.cas_offset_conv1, feature, 0), theirs[3])

        return self._aligned(frames, first, cascade)

    def _aligned(
        self,
        frames: Pyramid,
        first: Callable[[int], Tensor],
        cascade: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """``first`` gives what offsets begin with at a level, ``cascade`` of an aligned feature."""
        offset = lrelu(self.offset_conv2["l3"](lrelu(first(3))))
        feature = self.dcn_pack["l3"](frames[2], offset)
        for n in (2, 1):
            level = f"l{n}"
            below = 2 * enlarge(offset)  # an offset of one pixel below is one of two here
            offset = lrelu(self.offset_conv2[level](torch.cat([lrelu(first(n)), below], 1)))
            del below
            offset = lrelu(self.offset_conv3[level](offset))
            aligned = self.dcn_pack[level](frames[n - 1], offset)
            feature = self.feat_conv[level](torch.cat([aligned, enlarge(lrelu(feature))], 1))
        offset = lrelu(self.cas_offset_conv2(lrelu(cascade(feature))))
        return lrelu(self.cas_dcnpack(feature, offset))


def _added(frames: Tensor, references: Tensor) -> Tensor:
    """(n, c, h, w) and (n, c, h, w), or fewer, each repeated."""
    if len(frames) == len(references):
        return frames + references
    windows = frames.view(len(references), -1, *frames.shape[1:])
    return (windows + references[:, None]).flatten(0, 1)
