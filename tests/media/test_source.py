"""What a source tells of itself: the aspect of its pixels in other sizes."""

from fractions import Fraction

import pytest

from streamsr.core.target_size import TargetSize
from streamsr.media.source import SourceInfo


def info(width: int, height: int, aspect: Fraction = Fraction(1)) -> SourceInfo:
    return SourceInfo(width, height, Fraction(25), aspect, "h264", "yuv420p")


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(16, 11)])
@pytest.mark.parametrize("named", [("720p", None), ("500", None), (None, 0.25), (None, 1.0)])
def test_the_display_aspect_is_right_to_half_a_percent(
    named: tuple[str | None, float | None], aspect: Fraction
) -> None:
    target = TargetSize.parse(*named, even=True)
    assert target is not None
    for width in range(97, 107):
        for height in range(71, 81):
            source, (across, down) = info(width, height, aspect), target.of(width, height)
            shown = source.aspect_of(across, down) * across / down
            wanted = aspect * width / height
            assert abs(shown / wanted - 1) <= Fraction(1, 199)


def test_pixels_keep_their_aspect_where_rounding_changes_little() -> None:
    source = info(321, 181, Fraction(16, 11))
    assert source.aspect_of(642, 362) == Fraction(16, 11)
    assert source.aspect_of(482, 272) == Fraction(16, 11)
    assert info(160, 90).aspect_of(40, 22) == Fraction(44, 45)


def test_frames_of_another_aspect_ratio_are_not_stretched() -> None:
    """A camera that changed its size before its stream was opened again."""
    assert info(640, 360, Fraction(4, 3)).aspect_of(640, 480) == Fraction(4, 3)
