"""Resizing of 8-bit frames against the filter that it must be, rounded."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.resample import resize_chroma, resize_frame
from streamsr.networks.resample import KERNELS, resize

LEFT, CENTRE = ColourTags(1, 1, 1, chroma=1), ColourTags(1, 1, 1, chroma=2)
SIZES = [(1, 1), (2, 3), (7, 5), (90, 160)]


def yuv_frame(size: tuple[int, int], tags: ColourTags = LEFT) -> Frame:
    """Black, white and noise between them: filters overshoot both."""
    height, width = size
    random = np.random.default_rng(height)
    shapes = [size, *[(-(-height // 2), -(-width // 2))] * 2]
    planes = (random.integers(0, 256, shape).astype(np.uint8) for shape in shapes)
    return Frame(tuple(planes), tags, 7, Fraction(1, 25))


def rgb_frame(size: tuple[int, int]) -> Frame:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    return Frame((pixels,), ColourTags(0, 1, 13, True), 7, Fraction(1, 25))


def enlarge_frame(frame: Frame, scale: int, kernel: str = "bicubic") -> Frame:
    return resize_frame(frame, scale * frame.width, scale * frame.height, kernel)


def resized(plane: Plane, scale: Fraction, kernel: str = "bicubic", shift_x: float = 0.0) -> Plane:
    """A plane, or each channel of packed ones, by the filter of the papers."""
    levels = torch.from_numpy(np.atleast_3d(plane)).permute(2, 0, 1).double()
    made = resize(levels, scale, kernel, shift_x=shift_x).round().clamp(0, 255)
    samples: Plane = made.permute(1, 2, 0).to(torch.uint8).numpy()
    return samples.reshape(*samples.shape[:2], *plane.shape[2:])


def assert_rounded(plane: Plane, expected: Plane) -> None:
    assert plane.shape == expected.shape
    off = np.abs(plane.astype(int) - expected)
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3, "only where a sample lies between two levels"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("make", [yuv_frame, rgb_frame])
def test_enlarging_is_the_filter_rounded(
    make: Callable[[tuple[int, int]], Frame], scale: int, kernel: str, size: tuple[int, int]
) -> None:
    frame = make(size)
    enlarged = enlarge_frame(frame, scale, kernel)
    assert (enlarged.height, enlarged.width) == (scale * size[0], scale * size[1])
    assert (enlarged.pts, enlarged.colour) == (frame.pts, frame.colour)
    assert_rounded(enlarged.planes[0], resized(frame.planes[0], Fraction(scale), kernel))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize(("tags", "shift"), [(LEFT, 1 / 4), (CENTRE, 0)], ids=["left", "centre"])
def test_chroma_is_enlarged_where_it_is_sited(
    tags: ColourTags, shift: float, scale: int, size: tuple[int, int]
) -> None:
    frame = yuv_frame(size, tags)
    height, width = (-(-scale * side // 2) for side in size)
    shift_x = shift * (1 - 1 / scale)  # the first column of luma stays where the first chroma is
    for plane, made in zip(
        frame.planes[1:], resize_chroma(frame, scale * size[1], scale * size[0]), strict=True
    ):
        expected = resized(plane, Fraction(scale), shift_x=shift_x)
        assert_rounded(made, expected[:height, :width])


@pytest.mark.parametrize("tags", [LEFT, CENTRE], ids=["left", "centre"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_chroma_ramp_stays_where_it_is(scale: int, tags: ColourTags) -> None:
    """8 levels a chroma column: a quarter of a column's shift would be 2 levels."""
    ramp = np.tile(np.arange(30, 222, 8, dtype=np.uint8), (6, 1))
    flat = np.full((12, 48), 126, np.uint8)
    frame = Frame((flat, ramp, ramp), tags, 0, Fraction(1, 25))
    made = enlarge_frame(frame, scale).planes[1][6].astype(float)
    site = 0.25 if tags.chroma == 1 else 0.5  # of a chroma column, from its left edge
    columns = (np.arange(len(made)) + site) / scale - site  # in columns of the input
    inside = slice(4 * scale, -4 * scale)
    assert np.abs(made - (30 + 8 * columns))[inside].max() <= 0.51


def test_planes_may_be_views_of_a_decoders_memory() -> None:
    wide = yuv_frame((12, 40))
    before = [plane.copy() for plane in wide.planes]
    views = (plane[:, : plane.shape[1] // 2] for plane in wide.planes)
    frame = Frame(tuple(views), LEFT, 0, Fraction(1, 25))
    whole = Frame(tuple(map(np.ascontiguousarray, frame.planes)), LEFT, 0, Fraction(1, 25))
    for plane, expected in zip(
        enlarge_frame(frame, 2).planes, enlarge_frame(whole, 2).planes, strict=True
    ):
        np.testing.assert_array_equal(plane, expected)
    for plane, expected in zip(wide.planes, before, strict=True):
        np.testing.assert_array_equal(plane, expected, "they are only read")


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("make", [yuv_frame, rgb_frame])
def test_shrinking_is_the_filter_rounded(
    make: Callable[[tuple[int, int]], Frame], scale: int
) -> None:
    frame = make((24, 48))
    small = resize_frame(frame, 48 // scale, 24 // scale)
    assert (small.height, small.width) == (24 // scale, 48 // scale)
    assert_rounded(small.planes[0], resized(frame.planes[0], Fraction(1, scale)))
    for plane, made in zip(frame.planes[1:], small.planes[1:], strict=True):
        shift_x = 0.25 * (1 - scale)
        assert_rounded(made, resized(plane, Fraction(1, scale), shift_x=shift_x))


SIZES_ASKED = [(30, 52), (17, 31), (45, 31), (9, 62), (5, 7)]


@pytest.mark.parametrize("size", SIZES_ASKED, ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("make", [yuv_frame, rgb_frame])
def test_any_size_is_the_filter_rounded(
    make: Callable[[tuple[int, int]], Frame], kernel: str, size: tuple[int, int]
) -> None:
    """Each axis by a ratio of its own, one wide, the other narrow."""
    frame, (height, width) = make((18, 31)), size
    made = resize_frame(frame, width, height, kernel)
    assert (made.height, made.width) == size
    across = sampled(frame.planes[0].astype(float), Fraction(width, 31), width, kernel)
    exact = sampled(across.swapaxes(0, 1), Fraction(height, 18), height, kernel).swapaxes(0, 1)
    assert_rounded(made.planes[0], exact.round().clip(0, 255).astype(np.uint8))


def sampled(
    levels: NDArray[np.float64], scale: Fraction, size: int, kernel: str, shift: float = 0.0
) -> NDArray[np.float64]:
    """Axis 1 by the filter's definition, one output pixel after the other."""
    function, reach = KERNELS[kernel]
    widen = max(1.0, float(1 / scale))
    length, columns = levels.shape[1], []
    for output in range(size):
        centre = (output + 0.5) / float(scale) - 0.5 + shift
        taps = np.arange(int(centre - reach * widen) - 2, int(centre + reach * widen) + 3)
        weights = function(torch.from_numpy((taps - centre) / widen)).numpy()
        index = taps % (2 * length)
        index = np.where(index < length, index, 2 * length - 1 - index)
        columns.append(np.tensordot(levels[:, index], weights / weights.sum(), (1, 0)))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("tags", [LEFT, CENTRE], ids=["left", "centre"])
@pytest.mark.parametrize("width", [33, 36, 49, 72, 97])
def test_chroma_of_any_size_stays_where_it_is(width: int, tags: ColourTags) -> None:
    """8 levels a chroma column, and an odd width: its last chroma column has one of luma."""
    ramp = np.tile(np.arange(30, 230, 8, dtype=np.uint8), (6, 1))
    frame = Frame((np.full((11, 49), 126, np.uint8), ramp, ramp), tags, 0, Fraction(1, 25))
    made = resize_frame(frame, width, 20).planes[1].astype(float)
    assert made.shape == (10, -(-width // 2))
    site = 0.25 if tags.chroma == 1 else 0.5  # of a chroma column, from its left edge
    columns = (np.arange(made.shape[1]) + site) * 49 / width - site
    error = (made[5] - (30 + 8 * columns))[6:-6]
    assert np.abs(error).max() <= 0.75
    assert abs(error.mean()) < 0.2, "the siting of others would be 0.7 and more"


def test_stripes_too_fine_for_the_size_do_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (90, 64))
    chroma = np.full((45, 64), 128, np.uint8)
    made = resize_frame(Frame((stripes, chroma, chroma), LEFT, 0, Fraction(1, 25)), 48, 34)
    assert np.abs(made.planes[0][:, 4:-4].astype(int) - 127.5).max() <= 8


def test_a_frame_of_the_size_that_is_asked_for_is_returned() -> None:
    frame = yuv_frame((7, 5))
    assert resize_frame(frame, 5, 7) is frame
