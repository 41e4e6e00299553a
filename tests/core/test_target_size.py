"""The size of a result, as it is named."""

from fractions import Fraction
from itertools import product

import pytest

from streamsr.core.errors import ConfigError
from streamsr.core.target_size import TargetSize


def size_of(
    size: str | None, scale: float | None, width: int, height: int, *, even: bool = True
) -> tuple[int, int]:
    target = TargetSize.parse(size, scale, even=even)
    assert target is not None
    return target.of(width, height)


def test_nothing_said_names_no_size() -> None:
    assert TargetSize.parse(None, None) is None


@pytest.mark.parametrize(
    ("size", "source", "result"),
    [
        ("1080p", (640, 360), (1920, 1080)),
        ("1280x720", (320, 240), (960, 720)),
        ("720p", (704, 576), (880, 720)),
        ("720p", (360, 640), (404, 720)),
        ("4K", (320, 180), (3840, 2160)),
        ("720p", (1920, 1080), (1280, 720)),
        ("1080", (640, 480), (1440, 1080)),
        ("640x360", (640, 360), (640, 360)),
        ("1000x2000", (640, 360), (1000, 562)),
    ],
)
def test_a_named_size_is_a_box_that_the_frame_fits_into(
    size: str, source: tuple[int, int], result: tuple[int, int]
) -> None:
    assert size_of(size, None, *source) == result


@pytest.mark.parametrize(
    ("scale", "even", "result"),
    [
        (2, True, (642, 362)),
        (2, False, (642, 362)),
        (1, True, (320, 180)),
        (1, False, (321, 181)),
        (1.5, True, (482, 272)),
        (1.5, False, (482, 272)),
        (0.25, False, (80, 45)),
        (3, False, (963, 543)),
        (3, True, (962, 542)),
        (1.3333, False, (428, 241)),
    ],
)
def test_a_scale_is_of_both_sides(scale: float, even: bool, result: tuple[int, int]) -> None:
    assert size_of(None, scale, 321, 181, even=even) == result


@pytest.mark.parametrize("even", [False, True])
def test_no_side_leaves_its_box_and_one_fills_it(even: bool) -> None:
    for width, height, across in product((641, 1279, 1280), (359, 361, 720), (320, 321, 704)):
        for down in (180, 181, 576):
            box = f"{width}x{height}"
            made = size_of(box, None, across, down, even=even)
            most = tuple(side - side % 2 if even else side for side in (width, height))
            assert made[0] <= most[0]
            assert made[1] <= most[1]
            assert made[0] == most[0] or made[1] == most[1]
            assert not even or all(side % 2 == 0 for side in made)
            exact = made[1] * Fraction(across, down)  # the width that keeps the aspect ratio
            assert abs(made[0] - exact) <= 1 + exact / made[1]


@pytest.mark.parametrize(
    ("size", "fault"),
    [
        ("1080q", "sides from 16 to 8192 (did you mean '1080p'?)"),
        ("8x8", "sides from 16 to 8192"),
        ("9000", "sides from 16 to 8192"),
        ("1280x", "WIDTHxHEIGHT as a box to fit into"),
        ("-720", "and HEIGHT"),
        ("", "HEIGHT"),
        ("٧٢٠", "HEIGHT"),
        ("9" * 5000, "HEIGHT"),
    ],
)
def test_an_unknown_size_is_refused_with_what_is_allowed(size: str, fault: str) -> None:
    with pytest.raises(ValueError, match="allowed are 720p, 1080p, 4k") as refused:
        TargetSize.parse(size, None)
    assert fault in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("scale", [0, -1, 0.2, 8.1, 1e9])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=r"allowed is 0\.25 to 8"):
        TargetSize.parse(None, scale)


def test_size_and_scale_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="allowed is a size or a scale, not both"):
        TargetSize.parse("720p", 2)


def test_a_result_that_is_too_large_or_small_is_refused_with_its_source() -> None:
    with pytest.raises(ConfigError, match="x8: got 15360x8640 from 1920x1080, allowed are sides"):
        size_of(None, 8, 1920, 1080)
    with pytest.raises(ConfigError, match="1280x720: got 1280x12 from 1280x12"):
        size_of("720p", None, 1280, 12)


def test_a_target_is_shown_as_it_was_named() -> None:
    shown = [str(TargetSize.parse(*named)) for named in (("4k", None), ("720", None), (None, 1.5))]
    assert shown == ["3840x2160", "720 lines", "x1.5"]


def test_sides_that_are_made_even_are_remarked_on() -> None:
    target = TargetSize.parse(None, 3, even=True)
    assert target is not None
    assert target.remark(320, 180) == ""
    assert target.remark(321, 181) == "962x542, not 963x543: H.264 in 4:2:0 has even sides"
