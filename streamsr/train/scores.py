"""How pictures are scored, by the protocol of the super-resolution papers."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["decibels", "psnr", "squared_error", "ssim"]


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two pictures of 8-bit levels, any shape; inf if equal."""
    return decibels(squared_error(picture, truth))


def squared_error(picture: Tensor, truth: Tensor) -> float:
    """Mean squared error of two pictures of levels, any shape."""
    return F.mse_loss(picture.double(), truth.double()).item()


def decibels(error: float) -> float:
    """A mean squared error of 8-bit levels as peak signal-to-noise ratio; inf for 0."""
    return float("inf") if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(picture: Tensor, truth: Tensor) -> float:
    """Structural similarity of two (h, w) pictures of 8-bit levels.

    11 x 11 Gaussian of sigma 1.5, no padding (Wang et al., Image quality assessment: from error
    visibility to structural similarity, 2004).
    """
    grid = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(grid**2) / (2 * 1.5**2))
    weights = (line / line.sum()).tolist()
    x, y = picture.double(), truth.double()
    maps = torch.stack([x, y, x * x + y * y, x * y])
    mean_x, mean_y, squares, product = _blurred(_blurred(maps, weights, 1), weights, 2)
    variances = squares - mean_x**2 - mean_y**2
    covariance = product - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((similarity / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))).mean())


def _blurred(maps: Tensor, weights: list[float], axis: int) -> Tensor:
    """Weigh neighbours along an axis, no padding; shifted sums outrun a convolution in doubles."""
    length = maps.shape[axis] - len(weights) + 1
    total = maps.narrow(axis, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], 1):
        total.add_(maps.narrow(axis, shift, length), alpha=weight)
    return total
