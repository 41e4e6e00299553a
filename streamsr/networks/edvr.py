"""EDVR: several frames in, their centre out four times as large, aligned by deformable convolution.

Wang et al., EDVR: Video Restoration with Enhanced Deformable Convolutional Networks, 2019. Modules
have the names of the published BasicSR checkpoints, so that those load as they are. In shapes, b
is the batch, t the window's frames, c channels, h and w the frame at the features' size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.deform import ModulatedDeformConvPack

__all__ = ["EDVR", "Pyramid"]

Pyramid = tuple[Tensor, Tensor, Tensor]
"""Features of a frame at full, half and quarter size."""

TAIL_FEATURES = 64
"""The published networks of every width end in as many features."""


def _conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, kernel // 2)


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1, inplace=True)


def _enlarge(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """(n, c, h, w) to the same: two convolutions and a skip."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = _conv(features, features)
        self.conv2 = _conv(features, features)
        for parameter in self.parameters():
            # A block starts near the identity, or 10 to 40 of them in a row would not train.
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter).data.mul_(0.1)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(x), inplace=True))
        return x + change


class Predeblur(nn.Module):
    """(n, channels, h, w) frames to (n, c, h, w) features, a quarter of the size with ``hr_in``."""

    def __init__(self, channels: int, features: int, hr_in: bool) -> None:
        super().__init__()
        self.hr_in = hr_in
        self.conv_first = _conv(channels, features)
        if hr_in:
            self.stride_conv_hr1 = _conv(features, features, stride=2)
            self.stride_conv_hr2 = _conv(features, features, stride=2)
        self.stride_conv_l2 = _conv(features, features, stride=2)
        self.stride_conv_l3 = _conv(features, features, stride=2)
        self.resblock_l3 = ResidualBlock(features)
        self.resblock_l2_1 = ResidualBlock(features)
        self.resblock_l2_2 = ResidualBlock(features)
        self.resblock_l1 = _blocks(features, 5)

    def forward(self, x: Tensor) -> Tensor:
        level1 = _lrelu(self.conv_first(x))
        if self.hr_in:
            level1 = _lrelu(self.stride_conv_hr1(level1))
            level1 = _lrelu(self.stride_conv_hr2(level1))
        level2 = _lrelu(self.stride_conv_l2(level1))
        level3 = _lrelu(self.stride_conv_l3(level2))
        level2 = self.resblock_l2_1(level2) + _enlarge(self.resblock_l3(level3))
        level1 = self.resblock_l1[:2](level1) + _enlarge(self.resblock_l2_2(level2))
        deblurred: Tensor = self.resblock_l1[2:](level1)
        return deblurred


class PCDAlignment(nn.Module):
    """Aligns the features of frames to those of a reference: pyramid, cascading, deformable."""

    def __init__(self, features: int, deformable_groups: int) -> None:
        super().__init__()

        def deformable() -> ModulatedDeformConvPack:
            return ModulatedDeformConvPack(features, features, deformable_groups)

        pair = 2 * features
        self.offset_conv1 = nn.ModuleDict({f"l{n}": _conv(pair, features) for n in (3, 2, 1)})
        self.offset_conv2 = nn.ModuleDict(
            {f"l{n}": _conv(features if n == 3 else pair, features) for n in (3, 2, 1)}
        )
        self.offset_conv3 = nn.ModuleDict({f"l{n}": _conv(features, features) for n in (2, 1)})
        self.dcn_pack = nn.ModuleDict({f"l{n}": deformable() for n in (3, 2, 1)})
        self.feat_conv = nn.ModuleDict({f"l{n}": _conv(pair, features) for n in (2, 1)})
        self.cas_offset_conv1 = _conv(pair, features)
        self.cas_offset_conv2 = _conv(features, features)
        self.cas_dcnpack = deformable()

    def forward(self, frames: Pyramid, references: Pyramid) -> Tensor:
        """Align ``frames`` (b * t, c, h, w) to ``references`` (b, c, h, w): (b * t, c, h, w)."""
        offset = _lrelu(_conv_pair(self.offset_conv1["l3"], frames[2], references[2]))
        offset = _lrelu(self.offset_conv2["l3"](offset))
        feature = self.dcn_pack["l3"](frames[2], offset)
        for n in (2, 1):
            below = offset, _lrelu(feature)
            offset, feature = self._refine(f"l{n}", frames[n - 1], references[n - 1], *below)
        offset = _lrelu(_conv_pair(self.cas_offset_conv1, feature, references[0]))
        offset = _lrelu(self.cas_offset_conv2(offset))
        return _lrelu(self.cas_dcnpack(feature, offset))

    def _refine(
        self, level: str, frame: Tensor, reference: Tensor, offset: Tensor, feature: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Takes what offsets are made of, and the aligned feature, from the level below to this."""
        # An offset of one pixel below is one of two here.
        below = 2 * _enlarge(offset)
        offset = _lrelu(_conv_pair(self.offset_conv1[level], frame, reference))
        offset = _lrelu(self.offset_conv2[level](torch.cat([offset, below], 1)))
        offset = _lrelu(self.offset_conv3[level](offset))
        aligned = self.dcn_pack[level](frame, offset)
        return offset, self.feat_conv[level](torch.cat([aligned, _enlarge(feature)], 1))


def _conv_pair(conv: nn.Module, frames: Tensor, references: Tensor) -> Tensor:
    """``conv`` of each frame (b * t) beside its window's reference (b), channels concatenated.

    A convolution is linear in the two, so that the reference's half runs once a window.
    """
    assert isinstance(conv, nn.Conv2d)
    ours, theirs = torch.split(conv.weight, frames.shape[1], 1)
    half = F.conv2d(frames, ours, conv.bias, padding=1)
    other = F.conv2d(references, theirs, padding=1)
    return (_by_window(half, len(references)) + other[:, None]).flatten(0, 1)


def _by_window(frames: Tensor, windows: int) -> Tensor:
    """(b * t, c, h, w) to (b, t, c, h, w)."""
    return frames.view(windows, -1, *frames.shape[1:])


class TSAFusion(nn.Module):
    """Fuses aligned frames, weighed by their likeness to the centre, and attends to places."""

    def __init__(self, features: int, frames: int, centre: int) -> None:
        super().__init__()
        self.centre = centre
        self.temporal_attn1 = _conv(features, features)
        self.temporal_attn2 = _conv(features, features)
        self.feat_fusion = _conv(frames * features, features, 1)
        self.spatial_attn1 = _conv(frames * features, features, 1)
        self.spatial_attn2 = _conv(2 * features, features, 1)
        self.spatial_attn3 = _conv(features, features)
        self.spatial_attn4 = _conv(features, features, 1)
        self.spatial_attn5 = _conv(features, features)
        self.spatial_attn_l1 = _conv(features, features, 1)
        self.spatial_attn_l2 = _conv(2 * features, features)
        self.spatial_attn_l3 = _conv(features, features)
        self.spatial_attn_add1 = _conv(features, features, 1)
        self.spatial_attn_add2 = _conv(features, features, 1)

    def forward(self, aligned: Tensor) -> Tensor:
        """(b, t, c, h, w) to (b, c, h, w)."""
        frames = self._attend(aligned).flatten(1, 2)
        fused = _lrelu(self.feat_fusion(frames))
        attention: Tensor = self.spatial_attn5(_enlarge(self._spatial(frames)))
        added: Tensor = self.spatial_attn_add2(_lrelu(self.spatial_attn_add1(attention)))
        # An untrained attention is near 0.5, and doubled it leaves the fused features alone.
        return fused * attention.sigmoid() * 2 + added

    def _attend(self, aligned: Tensor) -> Tensor:
        """Weigh each pixel of each frame by its likeness to the centre's."""
        centre: Tensor = self.temporal_attn1(aligned[:, self.centre])
        frames = _by_window(self.temporal_attn2(aligned.flatten(0, 1)), len(aligned))
        likeness = (frames * centre[:, None]).sum(2, keepdim=True)
        return aligned * likeness.sigmoid()

    def _spatial(self, frames: Tensor) -> Tensor:
        """(b, t * c, h, w) to the attention's features (b, c, h / 2, w / 2), out of a pyramid."""
        attention = _lrelu(self.spatial_attn1(frames))
        attention = _lrelu(self.spatial_attn2(_pooled(attention)))
        level = _lrelu(self.spatial_attn_l1(attention))
        level = _lrelu(self.spatial_attn_l2(_pooled(level)))
        level = _lrelu(self.spatial_attn_l3(level))
        attention = _lrelu(self.spatial_attn3(attention)) + _enlarge(level)
        return _lrelu(self.spatial_attn4(attention))


def _pooled(x: Tensor) -> Tensor:
    """(b, c, h, w) to (b, 2c, h / 2, w / 2): maxima, then means."""
    return torch.cat([F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1)], 1)


class EDVR(nn.Module):
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
            self.conv_1x1 = _conv(num_feat, num_feat, 1)
        else:
            self.conv_first = _conv(num_in_ch, num_feat)
        self.feature_extraction = _blocks(num_feat, num_extract_block)
        self.conv_l2_1 = _conv(num_feat, num_feat, stride=2)
        self.conv_l2_2 = _conv(num_feat, num_feat)
        self.conv_l3_1 = _conv(num_feat, num_feat, stride=2)
        self.conv_l3_2 = _conv(num_feat, num_feat)
        self.pcd_align = PCDAlignment(num_feat, deformable_groups)
        if with_tsa:
            self.fusion: nn.Module = TSAFusion(num_feat, num_frame, centre)
        else:
            self.fusion = _conv(num_frame * num_feat, num_feat, 1)
        self.reconstruction = _blocks(num_feat, num_reconstruct_block)
        self.upconv1 = _conv(num_feat, 4 * num_feat)
        self.upconv2 = _conv(num_feat, 4 * TAIL_FEATURES)
        self.conv_hr = _conv(TAIL_FEATURES, TAIL_FEATURES)
        self.conv_last = _conv(TAIL_FEATURES, num_out_ch)

    def forward(self, x: Tensor) -> Tensor:
        self._check_input(x)
        centre = self.center_frame_idx
        frames = self.extract(x.flatten(0, 1).to(self.conv_last.weight.dtype))
        level1, level2, level3 = (_by_window(level, len(x))[:, centre] for level in frames)
        aligned = _by_window(self.pcd_align(frames, (level1, level2, level3)), len(x))
        fused = self.fusion(aligned if self.with_tsa else aligned.flatten(1, 2))
        skip = x[:, centre].float()
        return self.reconstruct(fused).float() + (skip if self.hr_in else _enlarge(skip, 4))

    def extract(self, frames: Tensor) -> Pyramid:
        """Frames (n, channels, h, w), each on its own, to their features (n, c, ...)."""
        if self.with_predeblur:
            level1 = self.conv_1x1(self.predeblur(frames))
        else:
            level1 = _lrelu(self.conv_first(frames))
        level1 = self.feature_extraction(level1)
        level2 = _lrelu(self.conv_l2_2(_lrelu(self.conv_l2_1(level1))))
        level3 = _lrelu(self.conv_l3_2(_lrelu(self.conv_l3_1(level2))))
        return level1, level2, level3

    def reconstruct(self, fused: Tensor) -> Tensor:
        """Fused features (b, c, h, w) to what the skip lacks: (b, channels, 4h, 4w)."""
        x = self.reconstruction(fused)
        x = _lrelu(F.pixel_shuffle(self.upconv1(x), 2))
        x = _lrelu(F.pixel_shuffle(self.upconv2(x), 2))
        detail: Tensor = self.conv_last(_lrelu(self.conv_hr(x)))
        return detail

    def _check_input(self, x: Tensor) -> None:
        frames, (height, width) = x.shape[1], x.shape[-2:]
        if frames != self.num_frame:
            raise ValueError(f"window: got {frames} frames, allowed is {self.num_frame}")
        multiple = 16 if self.hr_in else 4
        if height % multiple or width % multiple:
            raise ValueError(
                f"frame: got {width}x{height}, allowed are multiples of {multiple} on both sides"
            )


def _blocks(features: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(features) for _ in range(count)))


def _check_options(in_ch: int, out_ch: int, frames: int, centre: int, plain_hr: bool) -> None:
    if out_ch != in_ch:
        raise ValueError(f"num_out_ch: got {out_ch}, allowed is {in_ch} (as num_in_ch: a skip)")
    if not 0 <= centre < frames:
        raise ValueError(f"center_frame_idx: got {centre}, allowed is 0 to {frames - 1}")
    if plain_hr:
        raise ValueError("hr_in: got true, allowed only with with_predeblur, which shrinks frames")
