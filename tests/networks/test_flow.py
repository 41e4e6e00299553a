"""Optical flow finds what moved, by how much, and that nothing did."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.networks.flow import optical_flow, sampling_grid, warped

SIZES = [(48, 64), (45, 63), (180, 320), (12, 13), (5, 7), (1, 1)]


def scene(height: int, width: int, across: float = 0.0, down: float = 0.0) -> Tensor:
    """(1, 1, h, w): waves of many directions, seen ``across`` and ``down`` pixels further on."""
    generator = torch.Generator().manual_seed(3)
    rows, columns = torch.meshgrid(
        torch.arange(height) + down, torch.arange(width) + across, indexing="ij"
    )
    image = torch.zeros(height, width)
    for angle, phase, length in torch.rand(24, 3, generator=generator).tolist():
        turn = 2 * math.pi / (5 + 40 * length)
        x, y = math.cos(math.pi * angle), math.sin(math.pi * angle)
        image += torch.sin(turn * (columns * x + rows * y) + 2 * math.pi * phase)
    return (0.5 + image / 24)[None, None]


@pytest.mark.parametrize(
    ("motion", "most"),
    [
        ((0.25, 0.0), 0.05),
        ((0.0, -0.5), 0.05),
        ((1.3, 0.7), 0.05),
        ((-3.4, 2.2), 0.05),
        ((9.0, -6.5), 0.1),
    ],
)
def test_it_finds_how_far_everything_moved(motion: tuple[float, float], most: float) -> None:
    across, down = motion
    flow = optical_flow(scene(90, 160, across, down), scene(90, 160))
    inside = flow[:, :, 16:-16, 16:-16]
    error = inside - torch.tensor(motion)[:, None, None]
    assert error.norm(dim=1).median() < most


def test_what_is_warped_fits() -> None:
    image, other = scene(90, 160, 2.3, -1.2), scene(90, 160)
    fitted = warped(other, optical_flow(image, other), "bicubic")
    before = ((other - image) ** 2)[..., 8:-8, 8:-8].mean()
    after = ((fitted - image) ** 2)[..., 8:-8, 8:-8].mean()
    assert after < before / 500


@pytest.mark.parametrize("size", SIZES)
def test_an_image_does_not_move_against_itself(size: tuple[int, int]) -> None:
    image = scene(*size)
    flow = optical_flow(image, image)
    assert flow.shape == (1, 2, *size)
    assert not flow.any()


def test_noise_is_no_motion() -> None:
    generator = torch.Generator().manual_seed(1)
    image = scene(90, 160)
    noisy = (image + torch.randn(image.shape, generator=generator) * 0.004 for _ in range(2))
    flow = optical_flow(*noisy).norm(dim=1)
    assert flow.median() < 0.02
    assert flow.mean() < 0.08


@pytest.mark.parametrize("light", [0.95, 1.05])
def test_light_is_no_motion(light: float) -> None:
    still = optical_flow(scene(90, 160) * light, scene(90, 160))
    assert still.norm(dim=1).mean() < 0.2
    flow = optical_flow(scene(90, 160, 1.3, 0.7) * light, scene(90, 160))
    error = (flow - torch.tensor((1.3, 0.7))[:, None, None])[:, :, 16:-16, 16:-16]
    assert error.norm(dim=1).median() < 0.2


def test_each_image_of_a_batch_moves_by_itself() -> None:
    images = torch.cat((scene(45, 63), scene(45, 63, 1.5), scene(45, 63, 0.0, 2.0)))
    others = scene(45, 63).expand(3, -1, -1, -1)
    flow = optical_flow(images, others)
    for number in range(3):
        alone = optical_flow(images[number : number + 1], others[:1])
        torch.testing.assert_close(flow[number : number + 1], alone)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_grid_follows_the_flow_in_a_larger_image(scale: int) -> None:
    generator = torch.Generator().manual_seed(7)
    flow = torch.randn(2, 2, 6, 9, generator=generator)
    large = torch.rand(2, 1, 6 * scale, 9 * scale, generator=generator)
    moved = F.grid_sample(
        large, sampling_grid(flow, scale), padding_mode="border", align_corners=False
    )
    fine = scale * F.interpolate(flow, scale_factor=scale, mode="bilinear", align_corners=False)
    expected = F.pixel_unshuffle(warped(large, fine), scale)
    torch.testing.assert_close(moved.view_as(expected), expected, atol=1e-4, rtol=0)


def test_wild_images_give_finite_flow() -> None:
    generator = torch.Generator().manual_seed(5)
    one, other = (torch.rand(2, 1, 37, 51, generator=generator) for _ in range(2))
    assert optical_flow(one, other).isfinite().all()
    assert optical_flow(torch.zeros_like(one), torch.ones_like(other)).isfinite().all()
