"""The built-in scene: the same each time, legible once coded, in step with its audio."""

import importlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from peers.counter import read_counter

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.media.pixels import planes_of, to_av
from streamsr.sources.demo import AUDIO_RATE, Scene

TICK = 0.3 * 32767  # the notes stay below it


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def coded(scene: Scene, numbers: list[int], factor: int, crf: int) -> Iterator[Plane]:
    """The luma of frames that were enlarged by bicubic, coded as H.264, and decoded."""
    width, height = scene.width * factor, scene.height * factor
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, scene.rate)
    encoder.options = {"crf": str(crf), "preset": "ultrafast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    packets = []
    for index, number in enumerate(numbers):
        frame = Frame(scene.frame(number), ColourTags(1, 1, 1), index, Fraction(1, scene.rate))
        large = to_av(frame).reformat(width, height, interpolation=Interpolation.BICUBIC)
        large.pts = index
        packets += encoder.encode(large)
    packets += encoder.encode(None)
    for packet in [*packets, None]:
        for image in decoder.decode(packet):
            yield planes_of(image)[0].copy()


def test_every_scene_of_a_size_is_the_same(scene: Scene) -> None:
    again = Scene()
    for number in (0, 7, 1234, 90_000):
        pairs = zip(scene.frame(number), again.frame(number), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
        assert np.array_equal(scene.audio(number), again.audio(number))


def test_frames_are_functions_of_their_number_alone(scene: Scene) -> None:
    first = [plane.copy() for plane in scene.frame(40)]
    scene.frame(41)[0][...] = 0  # nor do they share memory
    assert all(np.array_equal(a, b) for a, b in zip(first, scene.frame(40), strict=True))


@pytest.mark.parametrize(("factor", "count"), [(1, 100), (2, 50), (4, 30)])
def test_counter_survives_enlarging_and_coding(scene: Scene, factor: int, count: int) -> None:
    numbers = [*range(count // 2), *range(987_650, 987_650 + count // 2)]
    assert [read_counter(luma) for luma in coded(scene, numbers, factor, 28)] == numbers


@pytest.mark.parametrize("number", [0, 999_999, 1_000_000, 12_345_678])
def test_counter_reads_six_digits_and_more(scene: Scene, number: int) -> None:
    assert read_counter(scene.frame(number)[0]) == number


def test_counter_is_not_read_where_there_is_none(scene: Scene) -> None:
    luma = scene.frame(5)[0]
    noise = np.random.default_rng(0).integers(16, 236, (720, 1280), np.uint8)
    assert read_counter(noise) is None
    assert read_counter(np.full((720, 1280), 16, np.uint8)) is None
    assert read_counter(luma[30:]) is None
    assert read_counter(luma[:8, :8]) is None


@pytest.mark.parametrize("rate", [25, 24, 50, 7])
def test_audio_is_as_long_as_the_frames(rate: int) -> None:
    scene = Scene(96, 64, rate)
    assert sum(len(scene.audio(number)) for number in range(3 * rate)) == 3 * AUDIO_RATE
    assert scene.audio(1).dtype == np.int16


def test_tick_and_flash_start_each_second(scene: Scene) -> None:
    heard = [n for n in range(500) if np.abs(scene.audio(n).astype(int)).max() > TICK]
    seen = [n for n in range(500) if lamp(scene, n) == 235]
    assert heard == seen == list(range(0, 500, scene.rate))
    assert np.abs(scene.audio(25)[:48].astype(int)).max() > TICK  # within the first millisecond


def lamp(scene: Scene, number: int) -> int:
    return int(scene.frame(number)[0][15, 68])


def test_audio_is_soft_between_ticks_and_runs_on_where_it_repeats(scene: Scene) -> None:
    audio = np.concatenate([scene.audio(n) for n in range(375, 425)]).astype(int)
    away = np.arange(len(audio)) % AUDIO_RATE >= AUDIO_RATE // 50
    assert 500 < np.abs(audio[away]).mean() < TICK / 2
    steps: NDArray[np.intp] = np.abs(np.diff(audio))
    assert steps[away[1:]].max() < 1500
    assert np.array_equal(scene.audio(0), scene.audio(400))


def test_everything_moves_at_its_own_speed(scene: Scene) -> None:
    """The street by a pixel a frame, the sky by a half; both behind what moves before them."""
    before, after = (scene.frame(n)[0].astype(int) for n in (100, 108))
    for rows, pixels in ((slice(100, 130), 8), (slice(0, 3), 4)):
        followed = np.abs(before[rows, pixels:] - after[rows, :-pixels])
        assert 2 * np.median(followed) < np.median(np.abs(before[rows] - after[rows]))
    assert changes(scene, range(30, 40)).min() > 2


def changes(scene: Scene, numbers: range) -> NDArray[np.float64]:
    """By how much each frame differs from the one before, its counter left out."""
    lumas = [scene.frame(n)[0][40:].astype(int) for n in numbers]
    return np.array([np.abs(b - a).mean() for a, b in pairwise(lumas)])


def test_no_cut_shows_where_the_clip_begins_again(scene: Scene) -> None:
    length = 32 * scene.rate
    around = changes(scene, range(length - 5, length + 5))
    assert around.max() < 1.25 * np.median(around)
    first, again = (scene.frame(n)[0][40:] for n in (0, length))
    assert np.array_equal(first, again)


def test_the_clip_is_what_its_script_renders(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    render = importlib.import_module("render_demo").render
    for number, rendered in zip((0, 417), render([0, 417]), strict=True):
        luma = scene.frame(number)[0]
        error = (luma[40:].astype(float) - rendered[40:180]).reshape(-1)
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 41


@pytest.mark.parametrize("size", [(320, 180), (161, 91), (96, 64), (64, 36), (427, 241)])
def test_any_size_is_whole_and_of_limited_range(size: tuple[int, int]) -> None:
    width, height = size
    scene = Scene(width, height)
    half = (-(-height // 2), -(-width // 2))
    for number in (0, 333, 100_000):
        y, u, v = scene.frame(number)
        assert (y.shape, u.shape, v.shape) == ((height, width), half, half)
        assert all(plane.dtype == np.uint8 for plane in (y, u, v))
        assert 16 <= y.min() < 40
        assert 200 < y.max() <= 235
        assert all(16 <= plane.min() < 110 and 150 < plane.max() <= 240 for plane in (u, v))
        if width >= 96:
            assert read_counter(y) == number


def test_a_larger_scene_is_the_same_scene(scene: Scene) -> None:
    small, large = scene.frame(77)[0], Scene(640, 360).frame(77)[0]
    assert read_counter(large) == 77
    shrunk = large.reshape(180, 2, 320, 2).mean((1, 3))
    assert np.abs(small - shrunk).mean() < 4
