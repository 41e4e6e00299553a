"""What is a scene cut and what is not."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from peers import scene

from streamsr.engine.cuts import CutDetector

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


def cuts(pictures: Iterable[Luma]) -> list[int]:
    """The numbers of the pictures that are taken for the first of a scene."""
    detector = CutDetector()
    return [number for number, luma in enumerate(pictures) if detector.is_cut(luma)]


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
    """Something large and dark that crosses a third of the picture."""
    still = texture(10)[:, :WIDTH]
    for n in range(20):
        picture = still.copy()
        picture[:, max(0, 10 * n - 50) : 10 * n] = 20
        yield picture


def numbered() -> Iterator[Luma]:
    return (luma for luma, _, _ in scene(WIDTH, HEIGHT, 25))


def black() -> Iterator[Luma]:
    return (np.full((HEIGHT, WIDTH), 16, np.uint8) for _ in range(5))


@pytest.mark.parametrize(
    "pictures",
    [pan, fast_pan, flash, exposure, fade, dissolve, noise, passing, numbered, black],
)
def test_one_scene_has_no_cut(pictures: type[Iterator[Luma]]) -> None:
    assert cuts(pictures()) == []


@pytest.mark.parametrize("seed", range(8))
def test_another_scene_is_a_cut(seed: int) -> None:
    """A bright scene after a dim one and back, each of them panning."""
    dim, bright = texture(100 + seed, 16, 130), texture(200 + seed, 90, 235)
    pictures = [(bright if 5 <= n < 10 else dim)[:, 4 * n : 4 * n + WIDTH] for n in range(15)]
    assert cuts(pictures) == [5, 10]


def test_a_cut_to_and_from_black_is_a_cut_only_where_light_moves() -> None:
    """Black to a lit scene changes every cell, unevenly."""
    lit = texture(11)[:, :WIDTH]
    pictures = [*black(), lit, lit, *black()]
    assert cuts(pictures) == [5, 7]


def test_the_first_picture_is_no_cut_nor_the_first_after_a_reset() -> None:
    detector = CutDetector()
    dim, bright = texture(12, 16, 100)[:, :WIDTH], texture(13, 120, 235)[:, :WIDTH]
    assert not detector.is_cut(dim)
    detector.reset()
    assert not detector.is_cut(bright)
    assert detector.is_cut(dim)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 15), (9, 16), (37, 61), (1080, 1920)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    detector = CutDetector()
    half = np.full(size, 30, np.uint8)
    half[:, size[1] // 2 :] = 60
    other = np.full(size, 220, np.uint8)
    other[:, size[1] // 2 :] = 100
    assert not detector.is_cut(half)
    assert not detector.is_cut(half)
    assert detector.is_cut(other) == (size[1] > 1)
