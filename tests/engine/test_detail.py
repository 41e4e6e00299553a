"""16 bits and transparency beside a frame of 8 bits: exact of plain scaling, finer of networks."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.detail import deepened, resized_samples
from streamsr.engine.resample import resize_frame
from streamsr.media.images import eight_bits
from streamsr.networks.resample import resize

SIZES = [(120, 80), (75, 50), (30, 20), (20, 10)]  # of 30x20
DEEP = np.random.default_rng(5).integers(0, 65536, (20, 30, 3)).astype(np.uint16)


def wanted(width: int, height: int) -> np.ndarray:
    levels = torch.from_numpy(DEEP.astype(np.float64)).permute(2, 0, 1)
    made = resize(levels, (Fraction(height, 20), Fraction(width, 30))).permute(1, 2, 0)
    return np.clip(np.rint(made.numpy()), 0, 65535)


@pytest.mark.parametrize("size", SIZES)
def test_16_bits_of_plain_scaling_are_exact(size: tuple[int, int]) -> None:
    eight = eight_bits(DEEP)
    frame = Frame((eight,), ColourTags(0, 1, 13, True), 0, Fraction(1))
    made = resize_frame(frame, *size).planes[0]
    deep = deepened(made, DEEP, eight)
    assert deep.dtype == np.uint16
    assert np.abs(deep - wanted(*size)).max() <= 1


def test_what_a_network_changes_is_added() -> None:
    eight = eight_bits(DEEP // 2 + 16_000)
    frame = Frame((eight,), ColourTags(0, 1, 13, True), 0, Fraction(1))
    made = resize_frame(frame, 60, 40).planes[0]
    plain = deepened(made, DEEP // 2 + 16_000, eight).astype(int)
    brighter = deepened(made + 3, DEEP // 2 + 16_000, eight)
    inside = (plain > 0) & (plain < 65535 - 3 * 257)
    np.testing.assert_allclose((brighter - plain)[inside], 3 * 257, atol=1)


@pytest.mark.parametrize("size", SIZES)
def test_transparency_is_resized(size: tuple[int, int]) -> None:
    alpha = DEEP[..., 0]
    made = resized_samples(alpha, *size)
    assert made.dtype == np.uint16
    assert np.abs(made - wanted(*size)[..., 0]).max() <= 1
    assert resized_samples(eight_bits(alpha), *size).dtype == np.uint8
