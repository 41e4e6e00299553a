"""A frame: what it refuses, and how it is cropped."""

from fractions import Fraction

import numpy as np
import pytest

from streamsr.core.frame import ColourTags, Frame

LEFT, RGB = ColourTags(1, 1, 1), ColourTags(0, 1, 13, full_range=True)


def frame(width: int, height: int) -> Frame:
    """A frame whose luma counts its columns."""
    luma = np.tile(np.arange(width, dtype=np.uint8), (height, 1))
    chroma = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    return Frame((luma, chroma, chroma), LEFT, 7, Fraction(1, 25), 3.5)


@pytest.mark.parametrize(
    ("multiple", "size"), [(8, (176, 320)), (6, (180, 318)), (4, (180, 320)), (2, (182, 322))]
)
def test_a_frame_is_cropped_at_its_right_and_its_bottom(
    multiple: int, size: tuple[int, int]
) -> None:
    whole = frame(322, 182)
    cut = whole.cropped(multiple)
    height, width = size
    halves = (height // 2, width // 2)
    assert [plane.shape for plane in cut.planes] == [size, halves, halves]
    assert np.array_equal(cut.planes[0], whole.planes[0][:height, :width])
    assert (cut.pts, cut.time_base, cut.arrived) == (whole.pts, whole.time_base, whole.arrived)


def test_odd_sides_lose_their_odd_line() -> None:
    assert [plane.shape for plane in frame(65, 49).cropped(8).planes] == [
        (48, 64),
        (24, 32),
        (24, 32),
    ]


def test_rgb_is_cropped_too() -> None:
    packed = Frame((np.zeros((9, 11, 3), np.uint8),), RGB, 0, Fraction(1))
    assert packed.cropped(4).planes[0].shape == (8, 8, 3)


def test_a_frame_of_which_nothing_would_be_left_is_refused() -> None:
    with pytest.raises(ValueError, match="got 40x7, allowed are sides from 8 on"):
        frame(40, 7).cropped(8)


@pytest.mark.parametrize(
    "planes",
    [
        (np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.uint8)),
        (np.zeros((4, 4), np.uint8), *[np.zeros((2, 3), np.uint8)] * 2),
        (np.zeros((4, 4, 4), np.uint8),),
        (np.zeros((4, 4, 3), np.float32),),
    ],
)
def test_planes_that_are_no_frame_are_refused(planes: tuple[np.ndarray, ...]) -> None:
    with pytest.raises(ValueError, match="planes: got"):
        Frame(planes, LEFT, 0, Fraction(1))
