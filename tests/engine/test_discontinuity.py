"""Discontinuities: what is a scene cut and what is not, and what else resets a stream."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from peers import scene

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.discontinuity import CutDetector, DiscontinuityDetector


def frame(pts: int, *, size: tuple[int, int] = (18, 32), seed: int = 0) -> Frame:
    """A frame of one of two scenes that share neither places nor levels."""
    cells = np.random.default_rng(seed).integers(16 + 100 * seed, 116 + 100 * seed, (9, 16))
    luma = np.resize(np.kron(cells, np.ones((2, 2))).astype(np.uint8), size)
    chroma = np.full((-(-size[0] // 2), -(-size[1] // 2)), 128, np.uint8)
    return Frame((luma, chroma, chroma), ColourTags(), pts, Fraction(1, 25))


CASES = {
    "goes on": (frame(1), False),
    "another scene": (frame(1, seed=1), True),
    "another size": (frame(1, size=(20, 32)), True),
    "marked": (replace(frame(1), discontinuous=True), True),
    "two seconds later": (frame(50), False),
    "three seconds later": (frame(75), True),
    "after a gap": (replace(frame(2), after_gap=True), True),
    "at the same time": (frame(0), True),
    "back in time": (frame(-1), True),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_a_discontinuity(case: str) -> None:
    second, expected = CASES[case]
    detector = DiscontinuityDetector(window=3)
    assert detector.is_discontinuity(frame(0))  # the first of all
    assert detector.is_discontinuity(second) == expected
    following = replace(second, pts=second.pts + 1, discontinuous=False, after_gap=False)
    assert not detector.is_discontinuity(following)


@pytest.mark.parametrize("case", CASES)
def test_a_window_of_one_frame_is_flushed_by_another_size_alone(case: str) -> None:
    second, _ = CASES[case]
    detector = DiscontinuityDetector(window=1)
    assert detector.is_discontinuity(frame(0))
    assert detector.is_discontinuity(second) == (case == "another size")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("window", [1, 2])
def test_a_memory_bridges_a_gap_and_nothing_else(case: str, window: int) -> None:
    second, expected = CASES[case]
    detector = DiscontinuityDetector(window, recurrent=True)
    assert detector.is_discontinuity(frame(0))
    assert detector.is_discontinuity(second) == (expected and case != "after a gap")


def test_packed_frames_have_cuts_too() -> None:
    def packed(pts: int, seed: int) -> Frame:
        luma = frame(pts, seed=seed).planes[0]
        return Frame((np.stack([luma] * 3, 2),), ColourTags(0, 1, 13, True), pts, Fraction(1, 25))

    detector = DiscontinuityDetector(window=3)
    scenes = (0, 0, 1, 1, 0)
    expected = [detector.is_discontinuity(packed(pts, seed)) for pts, seed in enumerate(scenes)]
    assert expected == [True, False, True, False, True]


def test_a_discontinuity_does_not_count_twice() -> None:
    """The cut detector forgets what came before one: the frame after it is no cut as well."""
    detector = DiscontinuityDetector(window=3)
    assert detector.is_discontinuity(frame(0))
    assert detector.is_discontinuity(replace(frame(1, seed=1), discontinuous=True))
    assert not detector.is_discontinuity(frame(2, seed=1))


Luma = NDArray[np.uint8]
HEIGHT, WIDTH = 90, 160


def texture(seed: int, low: int = 16, high: int = 235, side: int = 20) -> Luma:
    """A scene: soft cells of light and dark, with detail inside them."""
    random = np.random.default_rng(seed)
    cells = random.random((HEIGHT // side + 2, WIDTH * 2 // side + 2))
    rows, columns = np.arange(HEIGHT) / side, np.arange(WIDTH * 2) / side
    top, left = rows.astype(int), columns.astype(int)
    down, across = (rows - top)[:, None], (columns - left)[None]
    smooth = (
        cells[np.ix_(top, left)] * (1 - down) * (1 - across)
        + cells[np.ix_(top + 1, left)] * down * (1 - across)
        + cells[np.ix_(top, left + 1)] * (1 - down) * across
        + cells[np.ix_(top + 1, left + 1)] * down * across
    )
    detail = random.random(smooth.shape) * 0.1
    return (low + (smooth * 0.9 + detail) * (high - low)).astype(np.uint8)


def cuts(frames: Iterable[Luma]) -> list[int]:
    """The numbers of the frames that are taken for the first of a scene."""
    detector = CutDetector()
    return [number for number, luma in enumerate(frames) if detector.is_cut(luma)]


def pan() -> Iterator[Luma]:
    wide = texture(1)
    return (wide[:, 4 * n : 4 * n + WIDTH] for n in range(30))


def fast_pan() -> Iterator[Luma]:
    wide = texture(2)
    return (wide[:, 12 * n : 12 * n + WIDTH] for n in range(12))


def flash() -> Iterator[Luma]:
    still = texture(3, 16, 150)[:, :WIDTH].astype(int)
    for n in range(12):
        yield np.clip(still + (80 if n == 5 else 0), 0, 255).astype(np.uint8)


def exposure() -> Iterator[Luma]:
    still = texture(4, 30, 120)[:, :WIDTH].astype(int)
    for n in range(12):
        yield (still + (60 if n >= 6 else 0)).astype(np.uint8)


def fade() -> Iterator[Luma]:
    still = texture(5)[:, :WIDTH].astype(float) - 16
    return ((16 + still * max(0.0, 1 - n / 25)).astype(np.uint8) for n in range(30))


def dissolve() -> Iterator[Luma]:
    one, other = (texture(seed)[:, :WIDTH].astype(float) for seed in (6, 7))
    shares = np.clip((np.arange(40) - 5) / 25, 0, 1)
    return ((one * (1 - s) + other * s).astype(np.uint8) for s in shares)


def noise() -> Iterator[Luma]:
    still = texture(8, 40, 200)[:, :WIDTH].astype(float)
    random = np.random.default_rng(9)
    return (
        np.clip(still + random.normal(0, 20, still.shape), 0, 255).astype(np.uint8)
        for _ in range(12)
    )


def passing() -> Iterator[Luma]:
    """Something large and dark that crosses a third of the frame."""
    still = texture(10)[:, :WIDTH]
    for n in range(20):
        frame = still.copy()
        frame[:, max(0, 10 * n - 50) : 10 * n] = 20
        yield frame


def numbered() -> Iterator[Luma]:
    return (luma for luma, _, _ in scene(WIDTH, HEIGHT, 25))


def black() -> Iterator[Luma]:
    return (np.full((HEIGHT, WIDTH), 16, np.uint8) for _ in range(5))


@pytest.mark.parametrize(
    "frames",
    [pan, fast_pan, flash, exposure, fade, dissolve, noise, passing, numbered, black],
)
def test_one_scene_has_no_cut(frames: type[Iterator[Luma]]) -> None:
    assert cuts(frames()) == []


@pytest.mark.parametrize("seed", range(8))
def test_another_scene_is_a_cut(seed: int) -> None:
    """A bright scene after a dim one and back, each of them panning."""
    dim, bright = texture(100 + seed, 16, 130), texture(200 + seed, 90, 235)
    frames = [(bright if 5 <= n < 10 else dim)[:, 4 * n : 4 * n + WIDTH] for n in range(15)]
    assert cuts(frames) == [5, 10]


def test_a_cut_to_and_from_black_is_a_cut_only_where_light_moves() -> None:
    """Black to a lit scene changes every cell, unevenly."""
    lit = texture(11)[:, :WIDTH]
    frames = [*black(), lit, lit, *black()]
    assert cuts(frames) == [5, 7]


def test_the_first_frame_is_no_cut_nor_the_first_after_a_reset() -> None:
    detector = CutDetector()
    dim, bright = texture(12, 16, 100)[:, :WIDTH], texture(13, 120, 235)[:, :WIDTH]
    assert not detector.is_cut(dim)
    detector.reset()
    assert not detector.is_cut(bright)
    assert detector.is_cut(dim)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 15), (9, 16), (37, 61), (1080, 1920)])
def test_frames_of_any_size(size: tuple[int, int]) -> None:
    detector = CutDetector()
    half = np.full(size, 30, np.uint8)
    half[:, size[1] // 2 :] = 60
    other = np.full(size, 220, np.uint8)
    other[:, size[1] // 2 :] = 100
    assert not detector.is_cut(half)
    assert not detector.is_cut(half)
    assert detector.is_cut(other) == (size[1] > 1)
