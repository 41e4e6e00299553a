"""Colour conversion against the standards' definitions, worked out here on their own."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.colour import luma_of_rgb, network_input, network_output
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize

CPU = torch.device("cpu")
PRIMARY_WEIGHTS = {  # of green follows: they sum to 1
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    1: (0.2126, 0.0722),  # BT.709
    9: (0.2627, 0.0593),  # BT.2020
}
BARS = np.array([(r, g, b) for r, g, b in product((0.0, 0.75), repeat=3)] + [(1.0, 1.0, 1.0)])
BAR_PX = 24  # wide: the middle of a bar is beyond the reach of any filter from its edge
Array = NDArray[np.float64]


def encoded(rgb: Array, matrix: int, full: bool) -> Array:
    """(n, 3) R'G'B' in [0, 1] to (n, 3) Y'CbCr levels, by the definition, not rounded."""
    kr, kb = PRIMARY_WEIGHTS[matrix]
    red, green, blue = rgb.T
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    if full:
        return np.stack([255 * y, 255 * cb + 128, 255 * cr + 128], axis=1)
    return np.stack([219 * y + 16, 224 * cb + 128, 224 * cr + 128], axis=1)


def decoded(levels: Array, matrix: int, full: bool) -> Array:
    """The inverse of ``encoded``, as the inverse of its affine map."""
    zero = encoded(np.zeros((1, 3)), matrix, full)
    linear = encoded(np.eye(3), matrix, full) - zero
    return np.asarray((levels - zero) @ np.linalg.inv(linear))


def bars(matrix: int, full: bool, siting: int = 1) -> tuple[Frame, NDArray[np.uint8]]:
    """A 4:2:0 image of flat vertical bars, and the (bars, 3) levels in them."""
    levels = np.clip(np.rint(encoded(BARS, matrix, full)), 0, 255).astype(np.uint8)
    rows = np.repeat(levels, BAR_PX, axis=0)
    luma = np.tile(rows[:, 0], (16, 1))
    chroma = [np.tile(rows[::2, plane], (8, 1)) for plane in (1, 2)]
    tags = ColourTags(matrix, matrix, matrix, full, siting)
    return Frame((luma, *chroma), tags, 0, Fraction(1, 25)), levels


def middles(plane: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The sample in the middle of each bar."""
    bar = plane.shape[1] // len(BARS)
    return plane[plane.shape[0] // 2, bar // 2 :: bar].astype(np.int64)


CASES = pytest.mark.parametrize(
    ("matrix", "full"), list(product(PRIMARY_WEIGHTS, (False, True))), ids=str
)


@CASES
def test_bars_become_the_colours_of_their_matrix_and_range(matrix: int, full: bool) -> None:
    frame, levels = bars(matrix, full)
    rgb = network_input(frame, Colour.RGB, CPU)
    assert rgb.shape == (3, frame.height, frame.width)
    assert rgb.dtype == torch.float32
    expected = decoded(levels.astype(float), matrix, full)
    got = rgb[:, 8, BAR_PX // 2 :: BAR_PX].T.numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(got, BARS, atol=0.01)  # white is white, black is black


@CASES
@pytest.mark.parametrize("siting", [1, 2])
def test_bars_come_back_within_a_level(matrix: int, full: bool, siting: int) -> None:
    frame, levels = bars(matrix, full, siting)
    rgb = network_input(frame, Colour.RGB, CPU)
    for scale in (1, 2, 4):
        enlarged = rgb.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        planes = network_output(enlarged, frame, Colour.RGB)
        assert planes[0].shape == (frame.height * scale, frame.width * scale)
        assert planes[1].shape == (frame.height * scale // 2, frame.width * scale // 2)
        for index, plane in enumerate(planes):
            assert np.abs(middles(plane) - levels[:, index]).max() <= 1


@pytest.mark.parametrize("matrix", [6, 1])
def test_luma_is_given_in_limited_range_and_taken_back(matrix: int) -> None:
    for full in (False, True):
        frame, levels = bars(matrix, full)
        luma = network_input(frame, Colour.LUMA, CPU)
        black, white = luma.min().item() * 255, luma.max().item() * 255
        assert (black, white) == pytest.approx((16, 235), abs=1e-3)
        enlarged = luma.repeat_interleave(2, 1).repeat_interleave(2, 2)
        planes = network_output(enlarged, frame, Colour.LUMA)
        np.testing.assert_array_equal(planes[0], frame.planes[0].repeat(2, 0).repeat(2, 1))
        for index, plane in enumerate(planes):
            np.testing.assert_array_equal(middles(plane), levels[:, index])


@pytest.mark.parametrize("siting", [1, 2], ids=["left", "centre"])
@pytest.mark.parametrize("colour", list(Colour))
def test_a_chroma_ramp_stays_where_it_is(siting: int, colour: Colour) -> None:
    """6 levels a luma column: a quarter of a column's shift would be 1.5 levels."""
    slope, start, width = 6, 32, 32

    def ramp(columns: int, scale: int) -> Array:
        """The ramp where ``scale`` times enlarged chroma is sited, in columns of the input."""
        sites = 2 * np.arange(columns) + (0.0 if siting == 1 else 0.5)
        return np.asarray(start + slope * ((sites + 0.5) / scale - 0.5))

    chroma = np.tile(ramp(width // 2, 1), (8, 1))
    assert (chroma == np.rint(chroma)).all()  # else rounding would blur the answer
    planes = (np.full((16, width), 126, np.uint8), chroma.astype(np.uint8))
    flat = np.full((8, width // 2), 128, np.uint8)
    tags = ColourTags(1, 1, 1, full_range=True, chroma=siting)
    frame = Frame((planes[0], flat, planes[1]), tags, 0, Fraction(1, 25))
    if colour is Colour.RGB:  # what is out of range would be clipped
        rgb = network_input(frame, colour, CPU)
        inside = (rgb[:, 8].min(0).values > 0) & (rgb[:, 8].max(0).values < 1)
        columns = slice(int(inside.nonzero().min()) * 2 + 8, int(inside.nonzero().max()) * 2 - 8)
    else:
        columns = slice(8, -8)
    output = resize(network_input(frame, colour, CPU), 4)
    _, _, cr = network_output(output, frame, colour)
    error = cr[16].astype(float)[columns] - ramp(cr.shape[1], 4)[columns]
    assert len(error) >= 12
    assert np.abs(error).max() <= 1.0
    assert abs(error.mean()) < 0.3


def rgb_frame(height: int = 15, width: int = 22) -> Frame:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    return Frame((pixels,), ColourTags(0, 1, 13, True), 0, Fraction(1, 25))


def test_rgb_under_a_bicubic_luma_network_is_bicubic() -> None:
    frame = rgb_frame()
    output = resize(network_input(frame, Colour.LUMA, CPU), 4)
    (image,) = network_output(output, frame, Colour.LUMA)
    plain = resize(torch.from_numpy(frame.planes[0]).double().permute(2, 0, 1), 4)
    expected = plain.round().clamp(0, 255).permute(1, 2, 0).numpy()
    assert image.shape == (60, 88, 3)
    assert np.abs(image - expected).max() <= 1
    assert (image == expected).mean() > 0.99


def test_rgb_changes_by_what_the_luma_network_adds() -> None:
    """5/219 of luma are 5/219 in each of R', G' and B': grey goes to a lighter grey."""
    grey = np.full((8, 8, 3), 100, np.uint8)
    frame = Frame((grey,), ColourTags(0, 1, 13, True), 0, Fraction(1, 25))
    output = resize(network_input(frame, Colour.LUMA, CPU), 2) + 5 / 255
    (image,) = network_output(output, frame, Colour.LUMA)
    assert np.unique(image).tolist() == [round(100 + 5 * 255 / 219)]


def test_rgb_under_an_rgb_network_is_what_it_gives() -> None:
    frame = rgb_frame()
    (image,) = network_output(network_input(frame, Colour.RGB, CPU), frame, Colour.RGB)
    np.testing.assert_array_equal(image, frame.planes[0])


def test_luma_of_rgb_is_matlabs() -> None:
    """White, black and the primaries of ``rgb2ycbcr``: 16 + 65.481 R + 128.553 G + 24.966 B."""
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    luma = luma_of_rgb(colours.T[:, None].double())[0, 0] * 255
    assert luma.tolist() == pytest.approx([235, 16, 81.481, 144.553, 40.966])


def test_odd_sizes_keep_their_planes() -> None:
    planes = (np.full((7, 9), 90, np.uint8), *(np.full((4, 5), v, np.uint8) for v in (100, 150)))
    frame = Frame(planes, ColourTags(6, 6, 6), 0, Fraction(1, 25))
    for colour, scale in product(Colour, (1, 3, 4)):
        pixels = network_input(frame, colour, CPU)
        assert pixels.shape[1:] == (7, 9)
        made = network_output(resize(pixels, scale), frame, colour)
        assert Frame(made, frame.colour, 0, frame.time_base).height == 7 * scale
        for plane, level in zip(made, (90, 100, 150), strict=True):
            assert np.abs(plane.astype(int) - level).max() <= 1


@pytest.mark.parametrize("size", [None, (64, 48), (80, 60), (50, 38)], ids=str)
@pytest.mark.parametrize("kind", ["limited", "full", "rgb"])
def test_levels_of_a_network_become_what_its_floats_would(
    kind: str, size: tuple[int, int] | None
) -> None:
    """To a level: they are rounded once more where they do not suit the frame as they are."""
    random = np.random.default_rng(7)
    if kind == "rgb":
        planes = (random.integers(0, 256, (24, 32, 3), np.uint8),)
    else:
        planes = tuple(random.integers(40, 200, side, np.uint8) for side in ((24, 32), (12, 16)))
        planes = (*planes, planes[1])
    frame = Frame(planes, ColourTags(1, 1, 1, kind == "full"), 0, Fraction(1, 25))
    output = torch.from_numpy(random.integers(16, 236, (1, 48, 64), np.uint8))
    made = network_output(output, frame, Colour.LUMA, size)
    wanted = network_output(output.float() / 255, frame, Colour.LUMA, size)
    assert len(made) == len(wanted)
    for plane, expected in zip(made, wanted, strict=True):
        assert plane.shape == expected.shape
        assert plane.dtype == np.uint8
        assert np.abs(plane.astype(int) - expected).max() <= 1
    if kind == "limited" and size in (None, (64, 48)):
        np.testing.assert_array_equal(made[0], output[0])
