"""What rows say of a source: interlaced, in which order, progressive, or nothing."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from peers.clip import scene
from peers.interlaced import telecined, woven

from streamsr.sources.interlace.scan import ScanFinder, Verdict

SIZE = 160, 96
ROW = 64  # that is moved up and down

Planes = tuple[NDArray[np.uint8], ...]


def found(frames: Iterable[Planes], finder: ScanFinder | None = None) -> ScanFinder:
    finder = finder or ScanFinder()
    for luma, *_ in frames:
        finder.see(luma.astype(np.int16))
    return finder


def noisy(frames: Iterable[Planes], levels: float) -> Iterable[Planes]:
    random = np.random.default_rng(7)
    for luma, *chroma in frames:
        noise = random.normal(0, levels, luma.shape)
        yield (np.clip(luma + noise, 0, 255).astype(np.uint8), *chroma)


def still(count: int) -> Iterable[Planes]:
    first = next(iter(scene(*SIZE, 1)))
    return [first] * count


@pytest.mark.parametrize("noise", [0, 6])
@pytest.mark.parametrize("top_first", [True, False])
def test_two_moments_in_a_frame_are_found_and_their_order(top_first: bool, noise: int) -> None:
    finder = found(noisy(woven(scene(*SIZE, 24), top_first=top_first), noise))
    assert finder.interlaced
    assert finder.order is (Verdict.TOP_FIRST if top_first else Verdict.BOTTOM_FIRST)
    assert not finder.mixed


@pytest.mark.parametrize("noise", [0, 6, 20])
def test_progressive_frames_are_never_taken_for_interlaced(noise: int) -> None:
    finder = found(noisy(scene(*SIZE, 60), noise))
    assert not finder.interlaced
    assert finder.interlaced is False or noise == 20


@pytest.mark.parametrize("noise", [0, 30])
def test_what_stands_still_says_nothing(noise: int) -> None:
    assert found(noisy(still(60), noise)).interlaced is None


def test_rows_that_move_up_are_no_combs() -> None:
    stripes = np.zeros((96, 160), np.uint8)
    stripes[ROW::2] = 200
    assert not found([(np.roll(stripes, -n, axis=0),) for n in range(60)]).interlaced


def test_a_still_beginning_is_no_hindrance() -> None:
    finder = found(still(30))
    assert found(woven(scene(*SIZE, 24)), finder).interlaced


def test_film_in_3_2_pulldown_is_interlaced_with_whole_frames_in_it() -> None:
    finder = found(telecined(scene(*SIZE, 24)))
    assert finder.interlaced
    assert finder.mixed


def test_progressive_frames_for_long_end_it_and_few_interlaced_ones_begin_it() -> None:
    finder = found(woven(scene(*SIZE, 24)))
    assert found(scene(*SIZE, 12), finder).interlaced
    assert found(scene(*SIZE, 30), finder).interlaced is False
    assert found(woven(scene(*SIZE, 24)), finder).interlaced


def test_of_what_is_progressive_for_long_most_frames_are_not_looked_at() -> None:
    finder = found(scene(*SIZE, 60))
    wanted = 0
    for luma, *_ in scene(*SIZE, 40):
        wanted += finder.wants
        if finder.wants:
            finder.see(luma.astype(np.int16))
        else:
            finder.skip()
    assert wanted == 20
    assert finder.interlaced is False


def test_frames_across_a_cut_are_not_compared() -> None:
    finder = ScanFinder()
    for luma, *_ in woven(scene(*SIZE, 40)):
        finder.cut()
        assert finder.see(luma.astype(np.int16)) is Verdict.NOTHING
    assert finder.interlaced is None


@pytest.mark.parametrize("flagged", [False, True])
def test_without_a_flag_a_few_combed_frames_are_not_enough(flagged: bool) -> None:
    finder = ScanFinder()
    finder.flagged = flagged
    assert bool(found(woven(scene(*SIZE, 10)), finder).interlaced) is flagged


def test_frames_that_say_the_contrary_of_each_other_are_none() -> None:
    """Fine patterns that move look combed one way and then the other."""
    finder = found(woven(scene(*SIZE, 14)))
    assert not found(woven(scene(*SIZE, 30), top_first=False), finder).interlaced


def alternating(moments: Iterable[Planes]) -> Iterable[Planes]:
    """Of each two frames one holds two moments, the other one."""
    pairs = iter(moments)
    for number, first in enumerate(pairs):
        second = next(pairs)
        yield from [first] if number % 2 else woven([first, second])


def fine(count: int, spread: float) -> Iterable[Planes]:
    """A fine texture that moves by 3 pixels a moment."""
    page = np.random.default_rng(5).normal(0, 1, (96, 400)).astype(np.float32)
    page = cv2.GaussianBlur(page, (0, 0), spread)
    page = np.clip(page * 45 / page.std() + 128, 0, 255)
    for moment in range(count):
        yield (page[:, 3 * moment : 3 * moment + 160].astype(np.uint8),)


@pytest.mark.parametrize("flagged", [False, True])
@pytest.mark.parametrize("spread", [0.8, 1.2])
@pytest.mark.parametrize("how", [woven, alternating])
def test_texture_and_frames_of_both_kinds_in_turn_are_found(
    how: Callable[[Iterable[Planes]], Iterable[Planes]], spread: float, flagged: bool
) -> None:
    """Both weavings comb what has nothing in common with itself a moment later."""
    finder = ScanFinder()
    finder.flagged = flagged
    assert found(how(fine(64, spread)), finder).interlaced
    assert not finder.mixed or how is alternating


@pytest.mark.parametrize("flagged", [False, True])
@pytest.mark.parametrize("spread", [0.0001, 0.5, 0.8, 1.2])
def test_progressive_texture_is_not_taken_for_interlaced(spread: float, flagged: bool) -> None:
    finder = ScanFinder()
    finder.flagged = flagged
    assert not found(fine(64, spread), finder).interlaced
