"""DiscontinuityDetector: which frames have nothing to do with those before them."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.discontinuity import DiscontinuityDetector


def frame(pts: int, *, size: tuple[int, int] = (18, 32), scene: int = 0) -> Frame:
    """A picture of one of two scenes that share neither places nor levels."""
    cells = np.random.default_rng(scene).integers(16 + 100 * scene, 116 + 100 * scene, (9, 16))
    luma = np.resize(np.kron(cells, np.ones((2, 2))).astype(np.uint8), size)
    chroma = np.full((-(-size[0] // 2), -(-size[1] // 2)), 128, np.uint8)
    return Frame((luma, chroma, chroma), ColourTags(), pts, Fraction(1, 25))


BREAKS = {
    "goes on": (frame(1), False),
    "another scene": (frame(1, scene=1), True),
    "another size": (frame(1, size=(20, 32)), True),
    "marked": (replace(frame(1), discontinuous=True), True),
    "two seconds later": (frame(50), False),
    "three seconds later": (frame(75), True),
    "after a gap": (replace(frame(2), after_gap=True), True),
    "at the same time": (frame(0), True),
    "back in time": (frame(-1), True),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_frame_starts_anew(case: str) -> None:
    second, anew = BREAKS[case]
    breaks = DiscontinuityDetector(window=3)
    assert breaks.starts_anew(frame(0))  # the first of all
    assert breaks.starts_anew(second) == anew
    following = replace(second, pts=second.pts + 1, discontinuous=False, after_gap=False)
    assert not breaks.starts_anew(following)


@pytest.mark.parametrize("case", BREAKS)
def test_a_window_of_one_frame_is_broken_by_another_size_alone(case: str) -> None:
    second, _ = BREAKS[case]
    breaks = DiscontinuityDetector(window=1)
    assert breaks.starts_anew(frame(0))
    assert breaks.starts_anew(second) == (case == "another size")


@pytest.mark.parametrize("case", BREAKS)
@pytest.mark.parametrize("window", [1, 2])
def test_a_memory_bridges_a_gap_and_nothing_else(case: str, window: int) -> None:
    second, anew = BREAKS[case]
    breaks = DiscontinuityDetector(window, recurrent=True)
    assert breaks.starts_anew(frame(0))
    assert breaks.starts_anew(second) == (anew and case != "after a gap")


def test_a_packed_picture_has_its_cuts_too() -> None:
    def packed(pts: int, scene: int) -> Frame:
        luma = frame(pts, scene=scene).planes[0]
        return Frame((np.stack([luma] * 3, 2),), ColourTags(0, 1, 13, True), pts, Fraction(1, 25))

    breaks = DiscontinuityDetector(window=3)
    scenes = (0, 0, 1, 1, 0)
    anew = [breaks.starts_anew(packed(pts, scene)) for pts, scene in enumerate(scenes)]
    assert anew == [True, False, True, False, True]


def test_a_break_does_not_count_twice() -> None:
    """The cut detector forgets what came before one: the picture after it is no cut as well."""
    breaks = DiscontinuityDetector(window=3)
    assert breaks.starts_anew(frame(0))
    assert breaks.starts_anew(replace(frame(1, scene=1), discontinuous=True))
    assert not breaks.starts_anew(frame(2, scene=1))
