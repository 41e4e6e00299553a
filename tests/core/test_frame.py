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


@pytest.mark.parametrize("depth", [9, 10, 12, 16])
@pytest.mark.parametrize("full", [False, True])
def test_a_deep_frame_in_8_bits_is_the_frame_it_was_made_of(depth: int, full: bool) -> None:
    """ITU-R BT.2100, table 9, and H.273 for full range: black, white and grey are multiples."""
    tags = ColourTags(1, 1, 1, full)
    black, luma_span, chroma_span = tags.spans
    most = (1 << depth) - 1
    of_span = most / 255 if full else 1 << depth - 8
    shares = np.linspace(0, 1, 17)[None].repeat(4, 0)
    luma = (black + luma_span * shares) * of_span
    chroma = (shares[:2, ::2] - 0.5) * chroma_span * of_span + (1 << depth - 1)
    samples = [np.rint(plane).clip(0, most).astype(np.uint16) for plane in (luma, chroma, chroma)]
    deep = Frame((samples[0], samples[1], samples[2]), tags, 0, Fraction(1), depth=depth)
    flat = deep.in_8_bits()
    assert flat.depth == 8
    assert np.abs(flat.planes[0] - np.rint(black + luma_span * shares)).max() <= 1
    exact = ((shares[:2, ::2] - 0.5) * chroma_span + 128).clip(0, 255)
    assert np.abs(flat.planes[1] - exact).max() <= 0.51
    for number, plane in enumerate(deep.planes):
        assert (deep.samples_of(number, deep.levels_of(number)) == plane).all()


@pytest.mark.parametrize(("depth", "kind"), [(8, np.uint16), (10, np.uint8), (7, np.uint8)])
def test_samples_are_of_the_depth(depth: int, kind: type[np.unsignedinteger]) -> None:
    planes = np.zeros((4, 4), kind), np.zeros((2, 2), kind), np.zeros((2, 2), kind)
    with pytest.raises(ValueError, match="allowed is"):
        Frame(planes, ColourTags(1, 1, 1), 0, Fraction(1), depth=depth)
