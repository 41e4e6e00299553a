"""PSNR and SSIM against their definitions, pixel by pixel; what a network takes."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.train.scoring import cost_of, psnr, ssim


def noisy_pair(size: tuple[int, int] = (16, 19)) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(5)
    truth = random.integers(0, 256, size).astype(float)
    return np.clip(truth + random.normal(0, 20, size), 0, 255), truth


def defined_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Wang et al. 2004, equation 13, one window after the other."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = 6.5025, 58.5225
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = x[row : row + 11, column : column + 11], y[row : row + 11, column : column + 11]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            both = (weights * (a - ma) * (b - mb)).sum()
            value = (2 * ma * mb + c1) * (2 * both + c2)
            values.append(value / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(values))


def test_psnr_is_as_defined() -> None:
    noisy, truth = noisy_pair()
    expected = 20 * math.log10(255 / math.sqrt(((noisy - truth) ** 2).mean()))
    got = psnr(torch.from_numpy(noisy), torch.from_numpy(truth))
    assert got == pytest.approx(expected, abs=1e-9)


def test_a_level_everywhere_is_48_13_db() -> None:
    flat = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    assert psnr(flat, flat + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(flat, flat) == math.inf


@pytest.mark.parametrize("size", [(11, 11), (16, 19), (12, 30)], ids=str)
def test_ssim_is_as_defined(size: tuple[int, int]) -> None:
    noisy, truth = (torch.from_numpy(p) for p in noisy_pair(size))
    assert ssim(noisy, truth) == pytest.approx(defined_ssim(noisy.numpy(), truth.numpy()))
    assert ssim(truth, truth) == pytest.approx(1.0)
    assert ssim(noisy, truth) == pytest.approx(ssim(truth, noisy))


def test_ssim_takes_the_levels_of_8_bits_and_leaves_them() -> None:
    noisy, truth = (torch.from_numpy(p).round() for p in noisy_pair())
    before = truth.clone()
    whole = ssim(noisy.to(torch.uint8), truth.to(torch.uint8))
    assert whole == pytest.approx(ssim(noisy, truth))
    assert torch.equal(truth, before)


def test_edvr_takes_what_is_published() -> None:
    """8.45 M multiply-adds a pixel of the input, a quarter less as frames arrive."""
    facts = Facts(4, 5, 2, Colour.RGB, 4)
    cost = cost_of(EDVR(), facts)
    assert cost.parameters == pytest.approx(3.3e6, rel=0.02)
    assert cost.macs == pytest.approx(0.755 * 8.45e6, rel=0.01)
