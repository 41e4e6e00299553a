"""Resizing against MATLAB's ``imresize``, worked out here from its definition."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from streamsr.networks.resample import (
    Resample,
    enlarged,
    resize,
    unshuffled,
)

Array = NDArray[np.float64]
SCALES = [Fraction(4), Fraction(1, 4), Fraction(3, 4), Fraction(2), Fraction(1, 2), Fraction(3)]
SIZES = [(16, 24), (13, 27), (9, 31)]


def cubic(x: float) -> float:
    """Keys' kernel, a = -0.5."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def lanczos3(x: float) -> float:
    if x == 0:
        return 1.0
    a = math.pi * x
    return 3 * math.sin(a) * math.sin(a / 3) / a**2 if abs(x) < 3 else 0.0


KERNELS = {"bicubic": (cubic, 4), "lanczos": (lanczos3, 6)}


def imresize_axis(x: Array, scale: float, kernel: str, shift: float = 0.0) -> Array:
    """Axis 0, output pixel by output pixel, as ``contributions`` of imresize.m has it.

    Pixel u (from 1) lies at u/scale + 0.5 (1 - 1/scale); the kernel is stretched when shrinking;
    indices outside are mirrored with the edge repeated; weights are normalised.
    """
    function, width = KERNELS[kernel]
    shrink = min(scale, 1.0)
    span = width / shrink
    length = x.shape[0]
    mirror = [*range(length), *reversed(range(length))]
    out = np.zeros((math.ceil(length * scale - 1e-9), *x.shape[1:]))
    for u in range(1, len(out) + 1):
        centre = u / scale + 0.5 * (1 - 1 / scale) + shift
        left = math.floor(centre - span / 2)
        taps = range(left, left + math.ceil(span) + 2)
        weights = np.array([shrink * function(shrink * (centre - tap)) for tap in taps])
        weights /= weights.sum()
        for tap, weight in zip(taps, weights, strict=True):
            out[u - 1] += weight * x[mirror[(tap - 1) % (2 * length)]]
    return out


def imresize(x: Array, scale: Fraction, kernel: str = "bicubic", shift_x: float = 0.0) -> Array:
    rows = imresize_axis(x, float(scale), kernel)
    return imresize_axis(rows.T, float(scale), kernel, shift_x).T


def image(size: tuple[int, int], seed: int = 0) -> Array:
    return np.random.default_rng(seed).random(size) * 255


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_resize_is_imresize(scale: Fraction, size: tuple[int, int], kernel: str) -> None:
    x = image(size)
    expected = imresize(x, scale, kernel)
    got = resize(torch.from_numpy(x), scale, kernel)
    assert got.shape == (math.ceil(size[0] * scale), math.ceil(size[1] * scale))
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-4)
    single = resize(torch.from_numpy(x).float(), scale, kernel)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("shift", [0.25, -0.5, 0.1875])
@pytest.mark.parametrize("scale", [Fraction(4), Fraction(2), Fraction(1, 2)], ids=str)
def test_shift_moves_the_sampling_points_to_the_right(scale: Fraction, shift: float) -> None:
    x = image((11, 22), 1)
    got = resize(torch.from_numpy(x), scale, shift_x=shift)
    np.testing.assert_allclose(got.numpy(), imresize(x, scale, shift_x=shift), atol=2e-4)


def test_a_ramp_shows_the_sign_of_the_shift() -> None:
    ramp = torch.arange(32.0).expand(8, 32)
    moved = resize(ramp, 2, shift_x=0.25) - resize(ramp, 2)
    torch.testing.assert_close(moved[:, 8:-8], torch.full((16, 48), 0.25))


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_flat_image_stays_flat(scale: Fraction, kernel: str) -> None:
    flat = resize(torch.full((3, 9, 14), 0.7), scale, kernel)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.7))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (3, 2)], ids=str)
@pytest.mark.parametrize("scale", [Fraction(4), Fraction(1, 4), Fraction(2)], ids=str)
def test_images_smaller_than_the_kernel(size: tuple[int, int], scale: Fraction) -> None:
    x = image(size, 2)
    got = resize(torch.from_numpy(x), scale)
    np.testing.assert_allclose(got.numpy(), imresize(x, scale), atol=2e-4)


def test_leading_axes_are_resized_one_by_one() -> None:
    x = torch.rand(2, 3, 6, 10)
    got = resize(x, 2)
    assert got.shape == (2, 3, 12, 20)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(got[i, j], resize(x[i, j], 2))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_phase_is_a_channel_of_its_input_pixel(
    size: tuple[int, int], scale: int, kernel: str
) -> None:
    x = torch.from_numpy(image(size, 3)).float()[None, None] / 255
    phases = enlarged(x, scale, kernel)
    assert phases.is_contiguous(memory_format=torch.channels_last)
    assert phases.shape == (1, scale * scale, *size)
    expected = torch.from_numpy(imresize(x[0, 0].double().numpy(), Fraction(scale), kernel))
    for row, column in product(range(scale), repeat=2):
        torch.testing.assert_close(
            phases[0, row * scale + column].double(),
            expected[row::scale, column::scale],
            atol=1e-5,
            rtol=0,
        )


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_unshuffled_is_torchs_pixel_shuffle(scale: int, form: torch.memory_format) -> None:
    x = torch.rand(3, scale * scale, 5, 7).contiguous(memory_format=form)
    assert torch.equal(unshuffled(x, scale), F.pixel_shuffle(x, scale))


def test_resample_is_a_network_of_one_frame() -> None:
    x = torch.rand(2, 1, 3, 6, 7)
    torch.testing.assert_close(Resample("lanczos", 3)(x), resize(x[:, 0], 3, "lanczos"))
    with pytest.raises(ValueError, match=r"kernel: got 'nearest', allowed are bicubic, lanczos"):
        Resample("nearest")


def test_what_a_stream_left_behind_serves_a_gradient() -> None:
    """The filters are cached: made in inference, they must not be tensors of inference."""
    with torch.inference_mode():
        enlarged(torch.rand(1, 1, 6, 7), 3, shift_x=0.123)  # which no other test has cached
    image = torch.rand(1, 1, 6, 7, requires_grad=True)
    enlarged(image, 3, shift_x=0.123).square().sum().backward()
    assert image.grad is not None
    assert image.grad.ne(0).all()
