"""Optical flow finds what moved, by how much, and that nothing did."""

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.core.frame import Plane
from streamsr.networks.flow import (
    FINE,
    USUAL,
    Flow,
    flow_of_planes,
    planes_of,
    sampled,
    sampling_grid,
)

SIZES = [(48, 64), (45, 63), (180, 320), (31, 200), (12, 13), (5, 7), (1, 1)]


def scene(
    height: int, width: int, across: float = 0.0, down: float = 0.0, light: float = 1.0
) -> Plane:
    """(h, w) levels: waves of many directions, seen ``across`` and ``down`` pixels further on."""
    generator = torch.Generator().manual_seed(3)
    rows, columns = torch.meshgrid(
        torch.arange(float(height)) + down, torch.arange(float(width)) + across, indexing="ij"
    )
    image = torch.zeros(height, width)
    for angle, phase, length in torch.rand(24, 3, generator=generator).tolist():
        turn = 2 * math.pi / (5 + 40 * length)
        x, y = math.cos(math.pi * angle), math.sin(math.pi * angle)
        image += torch.sin(turn * (columns * x + rows * y) + 2 * math.pi * phase)
    return planes_of((0.5 + image / 24) * light)


def errors(flow: Flow, motion: tuple[float, float]) -> np.ndarray:
    """By how many pixels each place, away from the borders, is wrong."""
    return np.linalg.norm(flow[12:-12, 12:-12] - np.array(motion), axis=-1)


@pytest.mark.parametrize(
    ("motion", "most"),
    [
        ((0.25, 0.0), 0.03),
        ((0.0, -0.5), 0.03),
        ((1.3, 0.7), 0.05),
        ((-3.4, 2.2), 0.06),
        ((9.0, -6.5), 0.06),
    ],
)
def test_it_finds_how_far_everything_moved(motion: tuple[float, float], most: float) -> None:
    flow = flow_of_planes(scene(180, 320, *motion), scene(180, 320))
    assert flow.dtype == np.float32
    assert np.median(errors(flow, motion)) < most


def test_a_fine_search_is_closer_where_motion_differs_from_place_to_place() -> None:
    frame = scene(180, 320)
    rows, columns = np.mgrid[0:180, 0:320].astype(np.float32)
    bent = np.stack([3 * np.sin(rows / 23), 2 * np.cos(columns / 31)], -1).astype(np.float32)
    other = sampled(frame, np.stack([columns, rows], -1) - bent, cv2.INTER_CUBIC)
    usual, fine = (
        np.linalg.norm(flow_of_planes(frame, other, 1, search) - bent, axis=-1)[16:-16, 16:-16]
        for search in (USUAL, FINE)
    )
    assert fine.mean() < 0.9 * usual.mean()


@pytest.mark.parametrize("fold", [2, 3, 4])
def test_a_folded_flow_is_of_the_means_of_pixels(fold: int) -> None:
    motion = (2.6, -1.4)
    flow = flow_of_planes(scene(180, 324, *motion), scene(180, 324), fold)
    assert flow.shape == (180 // fold, 324 // fold, 2)
    assert np.median(errors(flow, (2.6 / fold, -1.4 / fold))) < 0.05  # of a place


def test_a_part_that_moves_is_told_from_what_stands_still() -> None:
    before, frame = scene(90, 160), scene(90, 160)
    frame[30:60, 50:110] = scene(90, 160, 2.0, 1.0)[30:60, 50:110]
    flow = flow_of_planes(frame, before)
    assert np.median(np.linalg.norm(flow[34:56, 54:106] - (2.0, 1.0), axis=-1)) < 0.05
    assert not flow[:20].any()
    assert not flow[70:].any()


@pytest.mark.parametrize("fold", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_a_frame_does_not_move_against_itself(size: tuple[int, int], fold: int) -> None:
    height, width = size
    frame = scene(height * fold, width * fold)
    flow = flow_of_planes(frame, frame, fold)
    assert flow.shape == (*size, 2)
    assert not flow.any()


@pytest.mark.parametrize("size", SIZES)
def test_wild_frames_of_any_size_give_finite_flow(size: tuple[int, int]) -> None:
    random = np.random.default_rng(5)
    one, other = (random.integers(0, 256, size, np.uint8) for _ in range(2))
    for frame in (other, np.zeros_like(one), np.full_like(one, 255)):
        assert np.isfinite(flow_of_planes(one, frame)).all()
        assert np.isfinite(flow_of_planes(frame, one)).all()


@pytest.mark.parametrize(("levels", "most"), [(0.5, 0.0), (1.0, 0.001), (2.0, 0.02)])
def test_noise_is_no_motion(levels: float, most: float) -> None:
    random = np.random.default_rng(1)
    noisy = (
        planes_of(torch.from_numpy(scene(90, 160) + random.normal(0, levels, (90, 160))) / 255)
        for _ in range(2)
    )
    flow = np.linalg.norm(flow_of_planes(*noisy), axis=-1)
    assert np.median(flow) == 0
    assert flow.mean() <= most


@pytest.mark.parametrize("light", [0.95, 1.05])
def test_light_is_no_motion(light: float) -> None:
    before = scene(90, 160)
    still = flow_of_planes(scene(90, 160, light=light), before)
    assert np.linalg.norm(still, axis=-1).mean() < 0.01
    moved = flow_of_planes(scene(90, 160, 1.3, 0.7, light), before)
    assert np.median(errors(moved, (1.3, 0.7))) < 0.1


def test_planes_may_be_views_of_larger_ones() -> None:
    before, frame = scene(60, 200), scene(60, 200, 1.5)
    cut = (slice(3, 50), slice(10, 150))
    flow = flow_of_planes(frame[cut], before[cut])
    np.testing.assert_array_equal(flow, flow_of_planes(frame[cut].copy(), before[cut].copy()))


def test_a_search_keeps_nothing_and_runs_in_any_thread() -> None:
    pairs = [
        (scene(*size, 0.5 * number), scene(*size)) for number, size in enumerate(SIZES[:4] * 3)
    ]
    alone = [flow_of_planes(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for flow, wanted in zip(pool.map(lambda p: flow_of_planes(*p), pairs), alone, strict=True):
            np.testing.assert_array_equal(flow, wanted)


def test_planes_are_the_nearest_levels() -> None:
    luma = torch.tensor([[0.0, 16 / 255, 0.5, 1.0], [-0.3, 100.4 / 255, 100.6 / 255, 1.2]])
    levels = [[0, 16, 128, 255], [0, 100, 101, 255]]
    np.testing.assert_array_equal(planes_of(luma), levels)
    every = torch.arange(256) / 255
    np.testing.assert_array_equal(planes_of(every.half()), np.arange(256))


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


def warped(x: Tensor, flow: Tensor) -> Tensor:
    """(b, 1, h, w) as each pixel is found ``flow`` pixels from itself, one by one, bilinear."""
    batch, _, height, width = x.shape
    out = torch.empty_like(x)
    for b in range(batch):
        for row in range(height):
            for column in range(width):
                across, down = flow[b, :, row, column].tolist()
                at = (
                    min(max(row + down, 0), height - 1),
                    min(max(column + across, 0), width - 1),
                )
                (top, left), (low, far) = map(math.floor, at), (at[0] % 1, at[1] % 1)
                bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
                image = x[b, 0]
                above = image[top, left] * (1 - far) + image[top, right] * far
                below = image[bottom, left] * (1 - far) + image[bottom, right] * far
                out[b, 0, row, column] = above * (1 - low) + below * low
    return out
