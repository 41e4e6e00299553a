"""What a network is to make of a sub-stream: copies where grids coincide, else resampled."""

import cv2
import numpy as np
import pytest

from streamsr.core.frame import ColourTags, Frame
from streamsr.sources.timing.clock_sync import TICKS
from streamsr.train.teach.registration import Geometry
from streamsr.train.teach.truth import FULL, LIMITED, Light, grid_of

MAIN, SUB = (320, 180), (144, 80)


def frame(width: int, height: int, *, full: bool = False) -> Frame:
    rows, columns = np.mgrid[:height, :width]
    luma = (120 + 60 * np.sin(columns / 9 + rows / 14) + 30 * np.cos(rows / 5)).astype(np.uint8)
    chroma = np.full((-(-height // 2), -(-width // 2)), 90, np.uint8)
    return Frame((luma, chroma, chroma), ColourTags(1, 1, 1, full), 0, TICKS)


def place(left: float, top: float, width: float, height: float) -> Geometry:
    return Geometry(left / MAIN[0], top / MAIN[1], width / MAIN[0], height / MAIN[1])


def test_a_crop_by_whole_pixels_is_copied() -> None:
    """Also where it was measured with an error that any measurement has."""
    main, sub = frame(*MAIN), frame(*SUB)
    grid = grid_of(place(16.04, 7.95, 288.05, 159.96), MAIN, SUB, 2, 2)
    truth = grid.truth(main, sub)
    assert grid.exact
    assert grid.low(sub).planes[0].shape == (80, 144)
    np.testing.assert_array_equal(truth.planes[0], main.planes[0][8:168, 16:304])
    assert [plane.shape for plane in truth.planes[1:]] == [(80, 144)] * 2


def test_between_pixels_it_is_resampled_to_where_the_sub_stream_is() -> None:
    main, sub = frame(*MAIN), frame(*SUB)
    grid = grid_of(place(16.5, 8.25, 288.0, 160.0), MAIN, SUB, 2, 2)
    luma = grid.truth(main, sub).planes[0].astype(float)
    rows, columns = np.mgrid[8.25 : 8.25 + 160, 16.5 : 16.5 + 288]
    wanted = 120 + 60 * np.sin(columns / 9 + rows / 14) + 30 * np.cos(rows / 5)
    assert not grid.exact
    assert np.abs(luma - wanted).max() < 1.6  # the main stream's own levels were cut off


@pytest.mark.parametrize(("scale", "size"), [(2, (288, 160)), (4, (576, 320)), (3, (432, 240))])
def test_the_main_stream_is_resampled_to_the_members_scale(
    scale: int, size: tuple[int, int]
) -> None:
    main = frame(*MAIN)
    grid = grid_of(place(0, 0, 320, 180), MAIN, SUB, scale, 1)
    truth = grid.truth(main, frame(*SUB)).planes[0]
    assert truth.shape == size[::-1]
    near = cv2.resize(main.planes[0], size, interpolation=cv2.INTER_AREA)
    inside = (slice(4, -4), slice(4, -4))
    assert np.abs(truth.astype(int) - near)[inside].mean() < 1.5


def test_what_the_main_stream_does_not_show_is_left_out() -> None:
    """A sub-stream of the whole sensor, a main stream that cuts off its top and bottom."""
    grid = grid_of(place(0, -30, 320, 240), MAIN, (160, 120), 2, 2)
    assert (grid.left, grid.width) == (0, 160)
    assert grid.top >= 16
    assert grid.top + grid.height <= 104
    assert grid.height % 2 == 0
    with pytest.raises(ValueError, match="nothing is left"):
        grid_of(place(-700, 0, 320, 180), MAIN, SUB, 2, 2)


def test_what_is_written_over_it_is_enlarged_as_it_is() -> None:
    main, sub = frame(*MAIN), frame(*SUB)
    sub.planes[0][20:40, 30:60] = 235
    overlaid = np.zeros(SUB[::-1], bool)
    overlaid[20:40, 30:60] = True
    grid = grid_of(place(16, 8, 288, 160), MAIN, SUB, 2, 2)
    with_text = grid.lit(grid.light, overlaid).truth(main, sub).planes[0]
    without = grid.truth(main, sub).planes[0]
    assert (with_text[46:74, 66:114] == 235).all()
    outside = np.ones(with_text.shape, bool)
    outside[40:80, 60:120] = False
    np.testing.assert_array_equal(with_text[outside], without[outside])


@pytest.mark.parametrize(
    ("light", "white", "chroma"), [(FULL, 255, 85), (LIMITED, 218, 95), (Light(0.9, 5.0), 217, 90)]
)
def test_the_truth_is_in_the_sub_streams_light(light: Light, white: int, chroma: int) -> None:
    main, sub = frame(*MAIN), frame(*SUB, full=light == FULL)
    main.planes[0][...] = 235
    truth = grid_of(place(0, 0, 288, 160), MAIN, SUB, 2, 2).lit(light).truth(main, sub)
    assert int(truth.planes[0][40, 40]) == pytest.approx(white, abs=1)
    assert int(truth.planes[1][20, 20]) == pytest.approx(chroma, abs=1)
    assert truth.colour == sub.colour
