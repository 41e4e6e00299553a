"""PyAV's images of any kind to planes: the right samples in the right places, and back."""

from fractions import Fraction
from itertools import product, starmap

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame
from streamsr.media.depth import DepthConverter
from streamsr.media.orientation import UPRIGHT, Orientation
from streamsr.media.pixels import from_av, planes_of, to_av

QUADRANTS = {  # Y, Cb, Cr of each: rows and columns that are mixed up show
    (0, 0): (60, 90, 170),
    (0, 1): (110, 140, 110),
    (1, 0): (160, 60, 200),
    (1, 1): (210, 180, 70),
}


def quadrants(height: int, width: int, plane: int) -> NDArray[np.uint8]:
    """One plane of an image of four flat quarters."""
    half_down, half_across = -(-height // 2), -(-width // 2)
    image = np.zeros((height, width), np.uint8)
    for (row, column), levels in QUADRANTS.items():
        rows = slice(half_down, None) if row else slice(0, half_down)
        columns = slice(half_across, None) if column else slice(0, half_across)
        image[rows, columns] = levels[plane]
    return image


def centres(plane: NDArray[np.uint8]) -> dict[tuple[int, int], int]:
    height, width = plane.shape
    return {
        (row, column): int(plane[height // 4 + row * height // 2, width // 4 + column * width // 2])
        for row, column in product((0, 1), repeat=2)
    }


def image(name: str, height: int, width: int) -> av.VideoFrame:
    """The quadrants in a Y'CbCr format, its samples put there by hand."""
    made = av.VideoFrame(width, height, name)
    for index, plane in enumerate(made.planes):
        parts = [c for c in made.format.components if c.plane == index]  # 2 where interleaved
        samples = np.stack([quadrants(c.height, c.width, c.index) for c in parts], axis=-1)
        samples = samples.reshape(len(samples), -1)
        bits = parts[0].bits
        values = samples if bits == 8 else samples.astype("<u2") << (bits - 8)
        data = np.ascontiguousarray(values).view(np.uint8)
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[: len(data), : data.shape[1]] = data
    return made


def convert(source: av.VideoFrame, orientation: Orientation = UPRIGHT) -> Frame:
    """As sources do whose frames have 8 bits."""
    source = DepthConverter().converted(source)
    return from_av(source, pts=7, time_base=Fraction(1, 25), arrived=1.5, orientation=orientation)


@pytest.mark.parametrize("size", [(40, 64), (39, 61), (37, 64)], ids=str)
@pytest.mark.parametrize(
    "name",
    ["yuv420p", "yuvj420p", "nv12", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuvj444p"],
)
def test_every_format_gives_the_planes_of_420(name: str, size: tuple[int, int]) -> None:
    frame = convert(image(name, *size))
    assert (frame.height, frame.width) == size
    assert frame.planes[1].shape == (-(-size[0] // 2), -(-size[1] // 2))
    for index, plane in enumerate(frame.planes):
        got, wanted = centres(plane), {place: v[index] for place, v in QUADRANTS.items()}
        assert {k: abs(got[k] - wanted[k]) <= 1 for k in got} == dict.fromkeys(got, True), got
    assert (frame.pts, frame.time_base, frame.arrived) == (7, Fraction(1, 25), 1.5)
    assert frame.colour.full_range == name.startswith("yuvj")


def test_plain_frames_are_views_not_copies() -> None:
    source = image("yuv420p", 40, 64)
    frame = convert(source)
    planes_of(source)[0][5, 5] = 1
    assert frame.planes[0][5, 5] == 1


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_tags_are_kept_and_levels_with_them(matrix: int, name: str, full: bool) -> None:
    source = image(name, 40, 64)
    source.colorspace, source.color_primaries, source.color_trc = matrix, matrix, matrix
    source.color_range = 2 if full else 1
    frame = convert(source)
    sited = ColourTags.CHROMA_CENTRE if name == "yuv444p" else ColourTags.CHROMA_LEFT
    assert frame.colour == ColourTags(matrix, matrix, matrix, full, sited)
    for index, plane in enumerate(frame.planes):
        got = centres(plane)
        assert all(abs(got[place] - v[index]) <= 1 for place, v in QUADRANTS.items()), got


@pytest.mark.parametrize(("height", "matrix"), [(480, 6), (576, 6), (578, 1), (1080, 1)])
def test_what_is_not_tagged_is_guessed_by_height(height: int, matrix: int) -> None:
    frame = convert(av.VideoFrame(16, height, "yuv420p"))
    assert frame.colour == ColourTags(matrix, matrix, matrix, False)


def test_stated_primaries_survive_a_guessed_matrix() -> None:
    source = av.VideoFrame(16, 16, "yuv420p")
    source.color_primaries, source.color_trc = 1, 13
    assert convert(source).colour == ColourTags(6, 1, 13, False)


@pytest.mark.parametrize("name", ["gray", "gray10le"])
def test_grey_video_has_neutral_chroma(name: str) -> None:
    source = image(name, 40, 64)
    source.color_range = 1
    frame = convert(source)
    assert not frame.colour.full_range
    got = centres(frame.planes[0])
    assert all(abs(got[place] - v[0]) <= 1 for place, v in QUADRANTS.items()), got
    assert all(np.abs(p.astype(int) - 128).max() <= 1 for p in frame.planes[1:])


def test_a_grey_still_is_of_full_range() -> None:
    source = av.VideoFrame(16, 16, "gray")
    planes_of(source)[0][...] = 255
    frame = convert(source)
    assert frame.colour.full_range
    assert frame.planes[0].min() == 255


@pytest.mark.parametrize("name", ["rgb24", "bgr24", "rgba", "bgra", "gbrp", "rgb48le"])
def test_rgb_stays_rgb(name: str) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (9, 13, 3), np.uint8)
    source = av.VideoFrame.from_ndarray(pixels, "rgb24")
    frame = convert(source if name == "rgb24" else source.reformat(format=name))
    assert frame.is_rgb
    assert frame.colour == ColourTags(0, 1, 13, True)
    np.testing.assert_allclose(frame.planes[0].astype(int), pixels, atol=1)


@pytest.mark.parametrize(
    "orientation", list(starmap(Orientation, product((False, True), repeat=3)))
)
@pytest.mark.parametrize("size", [(40, 64), (39, 61)], ids=str)
def test_frames_are_turned_and_mirrored(size: tuple[int, int], orientation: Orientation) -> None:
    frame = convert(image("yuv420p", *size), orientation)
    assert (frame.height, frame.width) == (size[::-1] if orientation.exchanged else size)
    corners = np.array([[QUADRANTS[row, column] for column in (0, 1)] for row in (0, 1)])
    wanted = orientation.upright(corners)
    for index, plane in enumerate(frame.planes):
        assert centres(plane) == {k: wanted[k][index] for k in QUADRANTS}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6])
def test_to_av_and_back(matrix: int, full: bool) -> None:
    random = np.random.default_rng(3)
    shapes = ((39, 61), (20, 31), (20, 31))
    planes = tuple(random.integers(0, 256, shape, np.uint8) for shape in shapes)
    frame = Frame(planes, ColourTags(matrix, matrix, matrix, full), 90, Fraction(1, 90_000))
    made = to_av(frame)
    assert (made.pts, made.time_base, made.format.name) == (90, Fraction(1, 90_000), "yuv420p")
    back = from_av(made, pts=90, time_base=frame.time_base)
    assert back.colour == frame.colour
    for ours, theirs in zip(back.planes, planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rgb_to_av_and_back() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (11, 7, 3), np.uint8)
    made = to_av(Frame((pixels,), ColourTags(0, 1, 13, True), 0, Fraction(1)))
    np.testing.assert_array_equal(convert(made).planes[0], pixels)
