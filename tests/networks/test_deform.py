"""The deformable convolution against its definition, one sample at a time."""

import math

import pytest
import torch
from torch import Tensor, nn

from streamsr.networks.edvr import deform, deform_cpu
from streamsr.networks.edvr.deform import (
    ModulatedDeformConvPack,
    modulated_deform_conv2d,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def inputs(
    n: int = 2, channels: int = 4, out: int = 3, groups: int = 2, h: int = 5, w: int = 6
) -> list[Tensor]:
    """x, offset (of one pixel or so), mask, weight and bias, in float64."""
    return [
        torch.randn(n, channels, h, w, dtype=torch.float64),
        torch.randn(n, 18 * groups, h, w, dtype=torch.float64),
        torch.rand(n, 9 * groups, h, w, dtype=torch.float64),
        torch.randn(out, channels, 3, 3, dtype=torch.float64),
        torch.randn(out, dtype=torch.float64),
    ]


def bilinear(plane: Tensor, y: float, x: float) -> float:
    """The definition: zeros outside, and a sample counts only within a pixel of the image."""
    h, w = plane.shape
    if not (-1 < y < h and -1 < x < w):
        return 0.0
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < h and 0 <= column < w:
            total += float(plane[row, column]) * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def by_definition(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, channels, h, w = x.shape
    per_group = channels // (mask.shape[1] // 9)
    taps = torch.zeros(n, channels, 3, 3, h, w, dtype=torch.float64)
    for b, c, i, j, row, column in torch.cartesian_prod(*map(torch.arange, taps.shape)).tolist():
        g, k = c // per_group, 3 * i + j
        dy, dx = offset[b, 18 * g + 2 * k, row, column], offset[b, 18 * g + 2 * k + 1, row, column]
        sample = bilinear(x[b, c], row - 1 + i + float(dy), column - 1 + j + float(dx))
        taps[b, c, i, j, row, column] = sample * mask[b, 9 * g + k, row, column]
    return torch.einsum("ocij,ncijhw->nohw", weight, taps) + bias[:, None, None]


@pytest.mark.parametrize("reach", [0.7, 3.0, 40.0, 1e4])
def test_is_its_definition_wherever_the_offsets_lead(reach: float) -> None:
    x, offset, mask, weight, bias = inputs()
    offset *= reach
    expected = by_definition(x, offset, mask, weight, bias)
    out = modulated_deform_conv2d(x, offset, mask, weight, bias)
    torch.testing.assert_close(out, expected, atol=1e-9, rtol=0)
    single = modulated_deform_conv2d(*(t.float() for t in (x, offset, mask, weight, bias)))
    torch.testing.assert_close(single.double(), expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize(("channels", "out", "groups"), [(3, 5, 1), (6, 2, 3), (4, 4, 4)])
def test_any_channels_and_groups(channels: int, out: int, groups: int) -> None:
    tensors = inputs(1, channels, out, groups, 4, 3)
    torch.testing.assert_close(modulated_deform_conv2d(*tensors), by_definition(*tensors))


def test_the_image_ends_one_pixel_outside() -> None:
    x = torch.ones(1, 1, 3, 3)
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 1] = 1
    offset = torch.zeros(1, 18, 3, 3)
    offset[0, 8, 0, 0] = -0.75  # dy of the central tap, at the first pixel
    offset[0, 9, 0, 2] = 0.25  # dx, at the end of the first row
    offset[0, 8, 2, 0] = 1.0  # dy, on the row just outside
    out = modulated_deform_conv2d(x, offset, torch.ones(1, 9, 3, 3), weight, torch.zeros(1))[0, 0]
    expected = torch.tensor([[0.25, 1, 0.75], [1, 1, 1], [0, 1, 1]])
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("far", [1e6, -1e6, 1e10, -1e10])
def test_absurd_offsets_give_the_bias(far: float) -> None:
    x, offset, mask, weight, bias = (t.float() for t in inputs())
    out = modulated_deform_conv2d(x, torch.full_like(offset, far), mask, weight, bias)
    assert torch.equal(out, bias[:, None, None].expand_as(out))


def test_no_offset_and_open_masks_make_a_plain_convolution() -> None:
    x, offset, mask, weight, bias = inputs(h=7, w=9)
    out = modulated_deform_conv2d(x, offset * 0, torch.ones_like(mask), weight, bias)
    torch.testing.assert_close(out, nn.functional.conv2d(x, weight, bias, padding=1))


@pytest.mark.parametrize("block_px", [1, 6, 13, 30, 60, 90, 10**6])
def test_blocks_do_not_show(block_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = inputs(n=3)
    whole = modulated_deform_conv2d(*tensors)
    monkeypatch.setattr(deform, "CPU_BLOCK_PX", block_px)
    torch.testing.assert_close(modulated_deform_conv2d(*tensors), whole)


def test_memory_format_does_not_matter() -> None:
    x, offset, mask, weight, bias = inputs()
    last = [t.contiguous(memory_format=torch.channels_last) for t in (x, offset, mask, weight)]
    torch.testing.assert_close(
        modulated_deform_conv2d(*last, bias), modulated_deform_conv2d(x, offset, mask, weight, bias)
    )


def test_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deform, "CPU_BLOCK_PX", 8)
    tensors = [t.requires_grad_() for t in inputs(1, 2, 2, 1, 3, 4)]
    assert torch.autograd.gradcheck(modulated_deform_conv2d, tensors, eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_knows_far_columns_apart(dtype: torch.dtype) -> None:
    """On a wide ramp, a shift of 1.5 px must show as 1.5 px at both ends, and between."""
    width = 2400
    ramp = (torch.arange(width) % 8).to(dtype).expand(1, 1, 3, width).contiguous()
    weight = torch.zeros(1, 1, 3, 3, dtype=dtype)
    weight[0, 0, 1, 1] = 1
    offset = torch.zeros(1, 18, 3, width, dtype=dtype)
    offset[:, 9] = 1.5
    one = torch.ones(1, 9, 3, width, dtype=dtype)
    out = modulated_deform_conv2d(ramp, offset, one, weight, torch.zeros(1, dtype=dtype))
    assert out.dtype == dtype
    ends = ramp[0, 0, 1].float()
    expected = (ends[1:-1] + ends[2:]) / 2
    assert (out[0, 0, 1, : width - 2].float() - expected).abs().max() < 0.02


def test_a_fresh_pack_has_no_offsets_and_half_open_masks() -> None:
    pack = ModulatedDeformConvPack(6, 4, 3)
    x, feature = torch.randn(2, 6, 5, 5), torch.randn(2, 6, 5, 5)
    expected = nn.functional.conv2d(x, pack.weight / 2, pack.bias, padding=1)
    torch.testing.assert_close(pack(x, feature), expected)
    shapes = {name: tuple(p.shape) for name, p in pack.named_parameters()}
    assert shapes == {
        "weight": (4, 6, 3, 3),
        "bias": (4,),
        "conv_offset.weight": (81, 6, 3, 3),
        "conv_offset.bias": (81,),
    }


def test_a_pack_reads_offsets_then_mask_logits() -> None:
    pack = ModulatedDeformConvPack(4, 3, 2).double().requires_grad_(False)
    nn.init.normal_(pack.conv_offset.weight)
    x, feature = torch.randn(2, 1, 4, 5, 6, dtype=torch.float64)
    predicted = pack.conv_offset(feature)
    mask = 1 / (1 + torch.exp(-predicted[:, 36:]))
    expected = by_definition(x, predicted[:, :36], mask, pack.weight, pack.bias)
    torch.testing.assert_close(pack(x, feature), expected)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="deformable_groups: got 3, allowed is a divisor of the 4"):
        ModulatedDeformConvPack(4, 4, 3)


@pytest.mark.parametrize("reach", [0.7, 3.0, 40.0, 1e4, 1e12])
@pytest.mark.parametrize("block_px", [1, 7, 10**6])
def test_on_a_cpu_samples_are_rows_of_a_table(
    reach: float, block_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form without gradients against the other one, wherever the offsets lead."""
    monkeypatch.setattr(deform_cpu, "BLOCK_PX", block_px)
    pack = ModulatedDeformConvPack(6, 4, 3)
    nn.init.normal_(pack.conv_offset.weight, std=reach / 3)
    x, feature = torch.randn(2, 3, 6, 7, 5)
    expected = pack(x, feature)
    assert expected.requires_grad
    last = [t.contiguous(memory_format=torch.channels_last) for t in (x, feature)]
    with torch.inference_mode():
        for given in ((x, feature), last):
            torch.testing.assert_close(pack(*given), expected.detach(), atol=1e-4, rtol=1e-4)


def test_on_a_cpu_what_is_not_finite_shows() -> None:
    pack = ModulatedDeformConvPack(4, 4, 2).requires_grad_(False)
    pack.conv_offset.bias[:] = float("nan")  # type: ignore[index] # it has one
    assert not pack(*torch.randn(2, 1, 4, 5, 6)).isfinite().any()
