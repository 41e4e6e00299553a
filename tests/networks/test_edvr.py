"""EDVR against the published names and shapes, and against a forward pass written a second time."""

import hashlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from streamsr.networks.edvr import EDVR
from streamsr.networks.edvr.deform import ModulatedDeformConvPack

TINY = {
    "num_feat": 8,
    "num_frame": 3,
    "deformable_groups": 2,
    "num_extract_block": 1,
    "num_reconstruct_block": 1,
}
PUBLISHED_M = "22f207d008ad8be7d0cd663eb6fc8b1bbfcdcdda777ab5551bf4d35fc8c6aae4"
"""SHA-256 of the sorted "name shape" lines of BasicSR's EDVR-M."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def made(**options: Any) -> EDVR:
    """A tiny network whose parameters are all random, and whose offsets leave the image."""
    network = EDVR(**{**TINY, **options}).requires_grad_(False)
    for name, parameter in network.named_parameters():
        spread = 5.0 if "conv_offset" in name else 1.0
        parameter.normal_(std=spread / max(1, parameter[0].numel()) ** 0.5)
    return network


def watched_offsets(network: EDVR) -> list[Tensor]:
    """The offsets that deformable convolutions will be given: (n, 18g, h, w) pixels each."""
    seen: list[Tensor] = []

    def predict(pack: Module, given: tuple[Tensor, Tensor]) -> None:
        assert isinstance(pack, ModulatedDeformConvPack)
        seen.append(pack.conv_offset(given[1])[:, : pack.offsets])

    for pack in network.modules():
        if isinstance(pack, ModulatedDeformConvPack):
            pack.register_forward_pre_hook(predict)
    return seen


# The network once more: functions on a state dict, one frame at a time.


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.1 * x)


def up(x: Tensor, factor: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def pools(x: Tensor) -> Tensor:
    return torch.cat(
        [F.max_pool2d(x, 3, stride=2, padding=1), F.avg_pool2d(x, 3, stride=2, padding=1)], 1
    )


class Twin:
    """EDVR's forward pass straight from the table of layers, with none of its modules."""

    def __init__(self, network: EDVR, groups: int) -> None:
        self.weights = network.state_dict()
        self.groups = groups

    def conv(self, name: str, *xs: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.conv2d(torch.cat(xs, 1), weight, bias, stride, weight.shape[-1] // 2)

    def blocks(self, name: str, x: Tensor) -> Tensor:
        count = 0
        while f"{name}.{count}.conv1.weight" in self.weights:
            x = self.block(f"{name}.{count}", x)
            count += 1
        assert count
        return x

    def block(self, name: str, x: Tensor) -> Tensor:
        return x + self.conv(f"{name}.conv2", self.conv(f"{name}.conv1", x).clamp(min=0))

    def deformed(self, name: str, x: Tensor, feature: Tensor) -> Tensor:
        predicted = self.conv(f"{name}.conv_offset", feature)
        b, channels, h, w = x.shape
        padded = F.pad(x, (1, 1, 1, 1))  # a border of zeros, so that what is outside can be read
        rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        out = self.weights[f"{name}.bias"][None, :, None, None].expand(b, -1, h, w).clone()
        for i in range(b):
            for c in range(channels):
                g = c // (channels // self.groups)
                for k in range(9):
                    y = rows + k // 3 - 1 + predicted[i, 18 * g + 2 * k]
                    x_ = columns + k % 3 - 1 + predicted[i, 18 * g + 2 * k + 1]
                    mask = predicted[i, 18 * self.groups + 9 * g + k].sigmoid()
                    tap = self.sampled(padded[i, c], y, x_) * mask
                    out[i] += self.weights[f"{name}.weight"][:, c, k // 3, k % 3, None, None] * tap
        return out

    @staticmethod
    def sampled(padded: Tensor, y: Tensor, x: Tensor) -> Tensor:
        h, w = padded.shape
        y, x = (y + 1).clamp(0, h - 1), (x + 1).clamp(0, w - 1)
        top, left = y.floor().clamp(max=h - 2), x.floor().clamp(max=w - 2)
        down, right, i, j = y - top, x - left, top.long(), left.long()
        upper = padded[i, j] * (1 - right) + padded[i, j + 1] * right
        lower = padded[i + 1, j] * (1 - right) + padded[i + 1, j + 1] * right
        return upper * (1 - down) + lower * down

    def predeblurred(self, x: Tensor) -> Tensor:
        level1 = lrelu(self.conv("predeblur.conv_first", x))
        for name in ("predeblur.stride_conv_hr1", "predeblur.stride_conv_hr2"):
            if f"{name}.weight" in self.weights:
                level1 = lrelu(self.conv(name, level1, stride=2))
        level2 = lrelu(self.conv("predeblur.stride_conv_l2", level1, stride=2))
        level3 = lrelu(self.conv("predeblur.stride_conv_l3", level2, stride=2))
        level2 = self.block("predeblur.resblock_l2_1", level2) + up(
            self.block("predeblur.resblock_l3", level3)
        )
        level2 = up(self.block("predeblur.resblock_l2_2", level2))
        for n in range(5):
            if n == 2:
                level1 = level1 + level2
            level1 = self.block(f"predeblur.resblock_l1.{n}", level1)
        return self.conv("conv_1x1", level1)

    def features(self, x: Tensor) -> list[Tensor]:
        deblurs = "conv_1x1.weight" in self.weights
        level1 = self.predeblurred(x) if deblurs else lrelu(self.conv("conv_first", x))
        levels = [self.blocks("feature_extraction", level1)]
        for n in (2, 3):
            level = lrelu(self.conv(f"conv_l{n}_1", levels[-1], stride=2))
            levels.append(lrelu(self.conv(f"conv_l{n}_2", level)))
        return levels

    def aligned(self, frame: list[Tensor], reference: list[Tensor]) -> Tensor:
        pcd = "pcd_align."
        offset, feature = torch.empty(0), torch.empty(0)
        for n in (3, 2, 1):
            below = offset
            offset = lrelu(self.conv(f"{pcd}offset_conv1.l{n}", frame[n - 1], reference[n - 1]))
            if n == 3:
                offset = lrelu(self.conv(f"{pcd}offset_conv2.l3", offset))
                feature = self.deformed(f"{pcd}dcn_pack.l3", frame[2], offset)
            else:
                offset = lrelu(self.conv(f"{pcd}offset_conv2.l{n}", offset, up(below) * 2))
                offset = lrelu(self.conv(f"{pcd}offset_conv3.l{n}", offset))
                moved = self.deformed(f"{pcd}dcn_pack.l{n}", frame[n - 1], offset)
                feature = self.conv(f"{pcd}feat_conv.l{n}", moved, up(feature))
            if n > 1:
                feature = lrelu(feature)
        offset = lrelu(self.conv(f"{pcd}cas_offset_conv1", feature, reference[0]))
        offset = lrelu(self.conv(f"{pcd}cas_offset_conv2", offset))
        return lrelu(self.deformed(f"{pcd}cas_dcnpack", feature, offset))

    def fused(self, frames: list[Tensor], centre: int) -> Tensor:
        reference = self.conv("fusion.temporal_attn1", frames[centre])
        weighed = []
        for frame in frames:
            likeness = (self.conv("fusion.temporal_attn2", frame) * reference).sum(1, True)
            weighed.append(frame * likeness.sigmoid())
        feature = lrelu(self.conv("fusion.feat_fusion", *weighed))
        attention = lrelu(self.conv("fusion.spatial_attn1", *weighed))
        attention = lrelu(self.conv("fusion.spatial_attn2", pools(attention)))
        branch = lrelu(self.conv("fusion.spatial_attn_l1", attention))
        branch = lrelu(self.conv("fusion.spatial_attn_l2", pools(branch)))
        branch = up(lrelu(self.conv("fusion.spatial_attn_l3", branch)))
        attention = lrelu(self.conv("fusion.spatial_attn3", attention)) + branch
        attention = up(lrelu(self.conv("fusion.spatial_attn4", attention)))
        attention = self.conv("fusion.spatial_attn5", attention)
        added = lrelu(self.conv("fusion.spatial_attn_add1", attention))
        added = self.conv("fusion.spatial_attn_add2", added)
        return feature * attention.sigmoid() * 2 + added

    def __call__(self, x: Tensor, centre: int, hr_in: bool) -> Tensor:
        frames = [self.features(x[:, i]) for i in range(x.shape[1])]
        aligned = [self.aligned(frame, frames[centre]) for frame in frames]
        if "fusion.weight" in self.weights:
            out = self.conv("fusion", *aligned)
        else:
            out = self.fused(aligned, centre)
        out = self.blocks("reconstruction", out)
        out = lrelu(F.pixel_shuffle(self.conv("upconv1", out), 2))
        out = lrelu(F.pixel_shuffle(self.conv("upconv2", out), 2))
        out = self.conv("conv_last", lrelu(self.conv("conv_hr", out)))
        return out + (x[:, centre] if hr_in else up(x[:, centre], 4))


def shapes(network: EDVR) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_the_m_size_has_the_published_names_and_shapes() -> None:
    network = EDVR()
    found = shapes(network)
    lines = "\n".join(sorted(f"{name} {shape}" for name, shape in found.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == PUBLISHED_M
    assert len(found) == 144
    assert sum(p.numel() for p in network.parameters()) == 3_300_131
    assert found["pcd_align.dcn_pack.l1.conv_offset.weight"] == (216, 64, 3, 3)


def test_without_tsa_one_convolution_fuses() -> None:
    network = EDVR(with_tsa=False)
    found = shapes(network)
    assert len(found) == 120
    assert sum(p.numel() for p in network.parameters()) == 2_996_259
    assert found["fusion.weight"] == (64, 320, 1, 1)


def test_the_l_size_ends_in_64_features_too() -> None:
    with torch.device("meta"):
        found = shapes(EDVR(num_feat=128, num_reconstruct_block=40))
    assert found["upconv1.weight"] == (512, 128, 3, 3)
    assert found["upconv2.weight"] == (256, 128, 3, 3)
    assert found["conv_hr.weight"] == (64, 64, 3, 3)
    assert found["reconstruction.39.conv2.bias"] == (128,)


@pytest.mark.parametrize("hr_in", [False, True])
def test_predeblurring_has_the_published_names(hr_in: bool) -> None:
    plain, blurred = shapes(made()), shapes(made(with_predeblur=True, hr_in=hr_in))
    strides = ["stride_conv_l2", "stride_conv_l3"]
    strides += ["stride_conv_hr1", "stride_conv_hr2"] if hr_in else []
    blocks = ["resblock_l3", "resblock_l2_1", "resblock_l2_2"]
    blocks += [f"resblock_l1.{n}" for n in range(5)]
    convs = ["conv_first", *strides, *(f"{b}.conv{n}" for b in blocks for n in (1, 2))]
    names = {f"predeblur.{conv}.{kind}" for conv in convs for kind in ("weight", "bias")}
    names |= {"conv_1x1.weight", "conv_1x1.bias"}
    assert blurred.keys() - plain.keys() == names
    assert plain.keys() - blurred.keys() == {"conv_first.weight", "conv_first.bias"}
    assert blurred["conv_1x1.weight"] == (8, 8, 1, 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"with_tsa": False},
        {"num_frame": 5, "num_extract_block": 2, "num_reconstruct_block": 3},
        {"num_feat": 6, "deformable_groups": 3, "center_frame_idx": 0},
        {"with_predeblur": True},
        {"with_predeblur": True, "hr_in": True},
        {"num_frame": 1, "deformable_groups": 1},
    ],
)
def test_is_the_network_of_the_table(options: dict[str, Any]) -> None:
    network = made(**options)
    side = 4 if options.get("hr_in") else 1
    x = torch.rand(2, network.num_frame, 3, 8 * side, 12 * side)
    twin = Twin(network, options.get("deformable_groups", TINY["deformable_groups"]))
    offsets = watched_offsets(network)
    out = network(x)
    assert (
        max(each.abs().mean((1, 2, 3)).max() for each in offsets) > 2
    )  # of images 2 to 12 pixels wide: they leave it
    expected = twin(x, network.center_frame_idx, network.hr_in)
    assert out.shape == (2, 3, 32, 48)
    assert (expected - x.mean()).abs().max() > 0.1
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)


def test_all_frames_of_all_windows_are_aligned_as_one_batch() -> None:
    network = made()
    offsets = watched_offsets(network)
    network(torch.rand(2, 3, 3, 8, 8))
    assert [len(each) for each in offsets] == [6] * 4


def test_memory_format_does_not_matter() -> None:
    network, x = made(), torch.rand(1, 3, 3, 8, 12)
    expected = network(x)
    torch.testing.assert_close(network.to(memory_format=torch.channels_last)(x), expected)


@pytest.mark.parametrize(("height", "width"), [(8, 10), (6, 8), (9, 8)])
def test_sides_are_multiples_of_4(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=rf"got {width}x{height}, allowed are multiples of 4"):
        made()(torch.rand(1, 3, 3, height, width))


def test_sides_are_multiples_of_16_at_full_resolution() -> None:
    with pytest.raises(ValueError, match="got 24x32, allowed are multiples of 16"):
        made(with_predeblur=True, hr_in=True)(torch.rand(1, 3, 3, 32, 24))


def test_the_window_has_its_length() -> None:
    with pytest.raises(ValueError, match="window: got 4 frames, allowed is 3"):
        made()(torch.rand(1, 4, 3, 8, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hr_in": True}, "hr_in: got true, allowed only with with_predeblur"),
        ({"center_frame_idx": 3}, "center_frame_idx: got 3, allowed is 0 to 2"),
        ({"num_out_ch": 1}, "num_out_ch: got 1, allowed is 3"),
        ({"deformable_groups": 3}, "deformable_groups: got 3"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EDVR(**{**TINY, **options})


def test_bfloat16_is_close_and_its_output_float32() -> None:
    network = EDVR(**TINY).requires_grad_(False)
    x = torch.rand(1, 3, 3, 12, 16)
    expected = network(x)
    out = network.to(torch.bfloat16).to(memory_format=torch.channels_last)(x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, atol=5e-3, rtol=0)


def test_a_fresh_network_learns_its_offsets() -> None:
    network = EDVR(**TINY)
    network(torch.rand(1, 3, 3, 8, 8)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if "conv_offset" in name:
            assert parameter.grad.abs().max() > 0, name
