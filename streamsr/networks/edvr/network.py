"""The network: what a window's frames go through, at once or as they arrive."""

from collections.abc import Sequence, Sized
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.networks.contract import Rows, StreamingNetwork
from streamsr.networks.edvr.alignment import PCDAlignment
from streamsr.networks.edvr.fusion import TSAFusion, fuse
from streamsr.networks.edvr.layers import Pyramid, blocks, conv, enlarge, lrelu
from streamsr.networks.edvr.predeblur import Predeblur
from streamsr.networks.edvr.strips import Layer, in_strips

__all__ = ["EDVR"]

REACH = {"first": 1, "predeblur": 28, "alignment": 40, "attention": 20, "offsets": 16}
"""Pixels of features, to each side: a pixel of the coarsest level is 4 of them, and enlarging sees
one more. The alignment's counts the pyramid before it, and what enlarges in the end."""

TAIL_FEATURES = 64
"""The published networks of every width end in as many features."""

STRIP_PX = 1 << 11
"""Of the frame in one strip of the tail: 16 times as many of the result, with 64 features. What is
larger than a cache costs more, not least in pages that the system makes and takes back."""


class EDVR(StreamingNetwork):
    """A window of RGB frames (b, t, c, h, w) in [0, 1] to its centre (b, c, 4h, 4w), about [0, 1].

    ``hr_in`` restores at the input's size instead: (b, c, h, w) out, worked at a quarter of it.
    h and w are multiples of 4, of 16 with ``hr_in``. The network runs in its weights' dtype; the
    skip and the output are float32.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_frame: int = 5,
        deformable_groups: int = 8,
        num_extract_block: int = 5,
        num_reconstruct_block: int = 10,
        center_frame_idx: int | None = None,
        hr_in: bool = False,
        with_predeblur: bool = False,
        with_tsa: bool = True,
    ) -> None:
        super().__init__()
        centre = num_frame // 2 if center_frame_idx is None else center_frame_idx
        _check_options(num_in_ch, num_out_ch, num_frame, centre, hr_in and not with_predeblur)
        self.num_frame = num_frame
        self.center_frame_idx = centre
        self.hr_in = hr_in
        self.with_predeblur = with_predeblur
        self.with_tsa = with_tsa
        if with_predeblur:
            self.predeblur = Predeblur(num_in_ch, num_feat, hr_in)
            self.conv_1x1 = conv(num_feat, num_feat, 1)
        else:
            self.conv_first = conv(num_in_ch, num_feat)
        self.feature_extraction = blocks(num_feat, num_extract_block)
        self.conv_l2_1 = conv(num_feat, num_feat, stride=2)
        self.conv_l2_2 = conv(num_feat, num_feat)
        self.conv_l3_1 = conv(num_feat, num_feat, stride=2)
        self.conv_l3_2 = conv(num_feat, num_feat)
        self.pcd_align = PCDAlignment(num_feat, deformable_groups)
        self.fusion = (
            TSAFusion(num_feat, num_frame, centre)
            if with_tsa
            else conv(num_frame * num_feat, num_feat, 1)
        )
        self.reconstruction = blocks(num_feat, num_reconstruct_block)
        self.upconv1 = conv(num_feat, 4 * num_feat)
        self.upconv2 = conv(num_feat, 4 * TAIL_FEATURES)
        self.conv_hr = conv(TAIL_FEATURES, TAIL_FEATURES)
        self.conv_last = conv(TAIL_FEATURES, num_out_ch)

    @property
    def centre(self) -> int:
        return self.center_frame_idx

    @property
    def reach(self) -> int:
        """As far as its filters see through its pyramids, and its offsets usually point."""
        kernels = self.feature_extraction, self.reconstruction
        places = sum(2 * len(cast(Sized, blocks)) for blocks in kernels)
        places += REACH["predeblur" if self.with_predeblur else "first"] + REACH["alignment"]
        places += REACH["attention"] * self.with_tsa + REACH["offsets"]
        return places * (4 if self.hr_in else 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.num_frame:
            raise ValueError(f"window: got {x.shape[1]} frames, allowed is {self.num_frame}")
        levels = self._pyramid(x.flatten(0, 1))
        level1, level2, level3 = (level[self.centre :: self.num_frame] for level in levels)
        aligned = self.pcd_align(levels, (level1, level2, level3))
        by_place = [aligned[place :: self.num_frame] for place in range(self.num_frame)]
        return self.restore(by_place, x[:, self.centre])

    def features(self, frames: Tensor) -> Rows:
        levels = self._pyramid(frames)
        return *levels, *self.pcd_align.of_frames(levels)

    def reference(self, features: Rows) -> Rows:
        level1, level2, level3, *_ = features
        return self.pcd_align.of_references((level1, level2, level3))

    def align(self, frames: Rows, references: Rows) -> Tensor:
        level1, level2, level3, *ours = frames
        return self.pcd_align.join((level1, level2, level3), tuple(ours), references)

    def restore(self, aligned: Sequence[Tensor], pixels: Tensor) -> Tensor:
        x = self.reconstruction(fuse(self.fusion, aligned))
        skip = pixels.float()
        output = skip if self.hr_in else enlarge(skip, 4)
        if torch.is_grad_enabled() or x[0, 0].numel() <= STRIP_PX:
            for layer, then in self._tail():
                x = then(layer(x))
            detailed: Tensor = output + x.float()
            return detailed
        output = output.clone() if self.hr_in else output
        top = 0
        height = x.shape[2]
        strips = -(-height * x.shape[3] // STRIP_PX)
        for detail in in_strips(x, self._tail(), -(-height // min(height, strips))):
            rows = output[:, :, top : top + detail.shape[2]]
            rows += detail
            top += detail.shape[2]
        return output

    def _tail(self) -> list[Layer]:
        """The layers of four times the size: they take most of the memory, whole."""

        def shuffled(x: Tensor) -> Tensor:
            return lrelu(F.pixel_shuffle(x, 2))

        def as_is(x: Tensor) -> Tensor:
            return x

        enlarging: list[Layer] = [(self.upconv1, shuffled), (self.upconv2, shuffled)]
        return [*enlarging, (self.conv_hr, lrelu), (self.conv_last, as_is)]

    def _pyramid(self, frames: Tensor) -> Pyramid:
        """Frames (n, channels, h, w), each on its own, to their features (n, c, ...)."""
        self._check_sides(*frames.shape[2:])
        frames = frames.to(self.conv_last.weight.dtype)
        if self.with_predeblur:
            level1 = self.conv_1x1(self.predeblur(frames))
        else:
            level1 = lrelu(self.conv_first(frames))
        level1 = self.feature_extraction(level1)
        level2 = lrelu(self.conv_l2_2(lrelu(self.conv_l2_1(level1))))
        level3 = lrelu(self.conv_l3_2(lrelu(self.conv_l3_1(level2))))
        return level1, level2, level3

    def _check_sides(self, height: int, width: int) -> None:
        multiple = 16 if self.hr_in else 4
        if height % multiple or width % multiple:
            raise ValueError(
                f"frame: got {width}x{height}, allowed are multiples of {multiple} on both sides"
            )


def _check_options(in_ch: int, out_ch: int, frames: int, centre: int, plain_hr: bool) -> None:
    if out_ch != in_ch:
        raise ValueError(f"num_out_ch: got {out_ch}, allowed is {in_ch} (as num_in_ch: a skip)")
    if not 0 <= centre < frames:
        raise ValueError(f"center_frame_idx: got {centre}, allowed is 0 to {frames - 1}")
    if plain_hr:
        raise ValueError("hr_in: got true, allowed only with with_predeblur, which shrinks frames")
