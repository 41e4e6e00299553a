"""Self-checks over the real engine: what they find, what they say, and what they leave alone.

Then their arithmetic by itself.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import count, cycle, islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from peers.waiting import until
from torch import Tensor, nn

from streamsr.core.events import Code, Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import InputSettings, StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.engine.base import Engine
from streamsr.engine.cpu import CpuEngine, cpu_pool
from streamsr.engine.cpu_recurrent import CpuRecurrentEngine
from streamsr.engine.engines import Engines
from streamsr.engine.resample import resize_frame
from streamsr.media.demo import Scene
from streamsr.media.source import Item, SourceInfo
from streamsr.networks.contract import Memory, RecurrentNetwork
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import Resample, resize
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.build import open_pipeline
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.pipeline import Pipeline
from streamsr.pipeline.self_check import (
    CHECKS,
    MEMORIES,
    BicubicComparison,
    SelfCheck,
    gain_db,
)
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import find

CPU = torch.device("cpu")
WIDTH, HEIGHT = 160, 144
OFTEN_S = 0.001
MOST = 3000  # frames of a clip that is shown again and again
AT_ONCE_S = 1e-9
LEFT = ColourTags(1, 1, 1)


@pytest.fixture(scope="module")
def town() -> list[Frame]:
    """Two seconds of the scene, small."""
    scene = Scene(WIDTH, HEIGHT)
    return [
        Frame(scene.frame(n), ColourTags(1, 1, 1), n, Fraction(1, 25), discontinuous=n == 0)
        for n in range(50)
    ]


def shrunk(frame: Frame, scale: int) -> Frame:
    return resize_frame(frame, frame.width // scale, frame.height // scale)


class Clip:
    """A source of frames, as many as there are or until enough is done; it can wait, as a file."""

    live = False
    name = "clip"
    reconnects = 0
    down = False

    def __init__(self, frames: Sequence[Frame], enough: Callable[[], bool] | None = None) -> None:
        self._frames = frames
        self._enough = enough  # asked before each frame; without it each frame is shown once

    def items(self, stop: threading.Event) -> Iterator[Item]:
        first = self._frames[0]
        yield SourceInfo(
            first.width, first.height, Fraction(25), Fraction(1), "rawvideo", "yuv420p"
        )
        for number in count():
            ended = self._enough() if self._enough else number == len(self._frames)
            assert number < MOST, "what it waits for has not come"
            if ended or stop.is_set():
                return
            frame = self._frames[number % len(self._frames)]
            yield Frame(frame.planes, frame.colour, number, frame.time_base)


class Kept:
    """A sink that keeps the frames, and the names of the threads there are."""

    def __init__(self, act: Callable[[int], None] = lambda number: None) -> None:
        self.frames: list[Frame] = []
        self.threads: set[str] = set()
        self._act = act

    def write(self, frame: Frame, info: SourceInfo) -> None:
        self.frames.append(frame)
        self.threads |= {thread.name for thread in threading.enumerate()}
        self._act(len(self.frames))

    def close(self) -> None:
        """There is nothing to close."""


class Centre(nn.Module):
    """Bicubic of the frame that a window is about; remembers what else it was given, small."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0  # with a shrunk window
        self.levels: list[list[int]] = []  # the corners of each shrunk window

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] < WIDTH:
            self.calls += 1
            self.levels += (x[:, :, 0, 0, 0] * 255).round().int().tolist()
            self.small(x)
        return resize(x[:, x.shape[1] // 2], 4)

    def small(self, x: Tensor) -> None:
        """What it does with a check's window beside that."""


class Sharper(Centre):
    """Lanczos, which is above bicubic; or as far from it on the other side, by ``sign``."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, x: Tensor) -> Tensor:
        bicubic = super().forward(x)
        return bicubic + self.sign * (resize(x[:, x.shape[1] // 2], 4, "lanczos") - bicubic)


class Failing(Centre):
    def small(self, x: Tensor) -> None:
        raise RuntimeError("out of memory at rtsp://me:p@ss@cam/1")


class Endless(Centre):
    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        return output * float("nan") if x.shape[-1] < WIDTH else output


class Hanging(Centre):
    def __init__(self) -> None:
        super().__init__()
        self.begun, self.released = threading.Event(), threading.Event()

    def small(self, x: Tensor) -> None:
        self.begun.set()
        assert self.released.wait(60)


class Remembering(RecurrentNetwork[Tensor]):
    """Bicubic for who has seen MEMORIES frames before, else nothing."""

    def fresh(self, batch: int, height: int, width: int) -> Memory:
        return (torch.zeros(batch, 1, 1, 1),)

    def align(self, window: Tensor, motion: Tensor) -> Tensor:
        return window[:, -1]

    def advance(self, aligned: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        seen = memory[0]
        return resize(aligned, 4) * (seen >= MEMORIES), (seen + 1,)


class HangingMemory(Remembering):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0  # with a shrunk window
        self.begun, self.released = threading.Event(), threading.Event()

    def align(self, window: Tensor, motion: Tensor) -> Tensor:
        if window.shape[-1] < WIDTH:
            self.calls += 1
            self.begun.set()
            assert self.released.wait(60)
        return super().align(window, motion)


def sliding(network: nn.Module, window: int = 1, lookahead: int = 0) -> SlidingWindow:
    return SlidingWindow(network, Facts(4, window, lookahead, Colour.LUMA))


class Ran:
    """What came of a pipeline."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.kept = Kept()
        self.status: StreamStatus | None = None

    def run(
        self, source: Clip, model: SlidingWindow, every_s: float = OFTEN_S, name: str = "model"
    ) -> StreamStatus:
        with Engines(CPU) as engines:
            return self.run_on(engines.of(model), source, every_s, name)

    def run_on(
        self, engine: Engine, source: Clip, every_s: float = OFTEN_S, name: str = "model"
    ) -> StreamStatus:
        pipeline = Pipeline(
            StreamSettings(name="yard", input=InputSettings(url="clip")),
            source,
            [LoadedModel(name, engine)],
            emit=self.events.append,
            frame_sinks=[self.kept],
            self_check_s=every_s,
        )
        asyncio.run(asyncio.wait_for(pipeline.run(), 100))
        status = pipeline.status()
        assert (status.frames_in, status.frames_dropped) == (status.frames_out, 0)
        assert status.frames_out == len(self.kept.frames)
        return status


@pytest.fixture
def ran() -> Ran:
    return Ran()


Log = Callable[[], list[str]]
"""What was logged."""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(logging.getLogger("streamsr"), "propagate", True)
    return lambda: caplog.messages


def test_the_shipped_model_wins_on_a_detailed_scene(ran: Ran, town: list[Frame]) -> None:
    status = ran.run(Clip(town), load_model(find("fast-small"), CPU))
    assert status.self_check_gain_db is not None
    assert 0.5 < status.self_check_gain_db < 6
    assert (status.self_checks["made"] >= 3, len(status.self_checks)) == (True, 1)
    assert not status.self_check_loses
    assert ran.events == []


def test_a_network_that_loses_says_so_once_and_when_it_wins_again(
    ran: Ran, town: list[Frame]
) -> None:
    network = Sharper(-1)
    repeats = 0

    def won_again() -> bool:
        nonlocal repeats
        codes = [event.code for event in ran.events]
        if Code.SR_LOSES in codes:
            repeats += 1
        if repeats == 60:  # enough checks for a second event, if there were one
            network.sign = 1
        return Code.SR_WINS in codes

    status = ran.run(Clip(town, won_again), sliding(network), name="fast")
    loses, wins = ran.events
    assert (loses.code, loses.stream) == (Code.SR_LOSES, "yard")
    assert f"dB, the median of {CHECKS} self-checks" in loses.message
    assert loses.message.startswith("fast is below bicubic on this stream by ")
    assert "streamsr train --init MODEL --data FOLDER" in loses.message
    assert (wins.code, wins.stream) == (Code.SR_WINS, "yard")
    assert wins.message.startswith("fast is above bicubic again by ")
    assert not status.self_check_loses
    assert status.self_check_gain_db is not None
    assert status.self_check_gain_db > 0
    assert status.self_checks["made"] >= 2 * CHECKS


@pytest.mark.parametrize(
    ("network", "window", "lookahead"),
    [(Centre(), 1, 0), (Centre(), 5, 2), (Remembering(), 1, 0), (Remembering(), 2, 0)],
    ids=["one frame", "a window", "a memory", "a memory and a window"],
)
def test_the_frame_that_counts_has_all_that_a_network_looks_at(
    ran: Ran, town: list[Frame], network: nn.Module, window: int, lookahead: int
) -> None:
    """What gives bicubic of the right frame, and nothing else, gains nothing."""
    status = ran.run(Clip(town), sliding(network, window, lookahead))
    assert status.self_checks["made"] >= 1
    assert status.self_check_gain_db == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("window", [1, 5])
def test_the_stream_is_as_it_is_without_checks(town: list[Frame], window: int) -> None:
    torch.manual_seed(1)
    network = nn.Conv3d(window, 16, (1, 3, 3), padding=(0, 1, 1)).requires_grad_(False)

    class Mixed(nn.Module):
        """All of a window in every pixel."""

        def forward(self, x: Tensor) -> Tensor:
            mixed: Tensor = network(x)[:, :, 0]
            return nn.functional.pixel_shuffle(mixed, 4).sigmoid()

    checked, unchecked = Ran(), Ran()
    status = checked.run(Clip(town), sliding(Mixed(), window, window // 2))
    plain = unchecked.run(Clip(town), sliding(Mixed(), window, window // 2), 0.0)
    assert status.self_checks["made"] >= 3
    assert (status.frames_in, plain.frames_in) == (50, 50)
    for ours, theirs in zip(checked.kept.frames, unchecked.kept.frames, strict=True):
        assert ours.pts == theirs.pts
        assert all(map(np.array_equal, ours.planes, theirs.planes))


def test_off_nothing_runs(ran: Ran, town: list[Frame]) -> None:
    network = Centre()
    status = ran.run(Clip(town), sliding(network), 0.0)
    assert (status.self_checks, status.self_check_gain_db, network.calls) == ({}, None, 0)
    assert "streamsr-encoder-yard" in ran.kept.threads
    assert not any("self-check" in name for name in ran.kept.threads)
    on = Ran()
    on.run(Clip(town), sliding(network))
    assert "streamsr-self-check-yard" in on.kept.threads


@pytest.mark.parametrize(
    "model",
    [sliding(Resample("lanczos")), SlidingWindow(Resample(scale=1), Facts(1, 1, 0, Colour.RGB))],
    ids=["a filter", "as it is"],
)
def test_plain_filters_are_not_checked(ran: Ran, town: list[Frame], model: SlidingWindow) -> None:
    status = ran.run(Clip(town), model)
    assert (status.self_checks, status.self_check_gain_db) == ({}, None)


@pytest.mark.parametrize(
    ("network", "reason"),
    [(Failing(), "out of memory"), (Endless(), "values that are not finite")],
    ids=["it raises", "it gives no numbers"],
)
def test_a_check_that_fails_is_tried_again_and_hurts_nobody(
    ran: Ran, town: list[Frame], log: Callable[[], list[str]], network: Centre, reason: str
) -> None:
    status = ran.run(Clip(town, lambda: network.calls >= 3), sliding(network))
    assert status.self_checks["failed"] >= 2
    assert (len(status.self_checks), status.self_check_gain_db) == (1, None)
    assert ran.events == [], "SR_FAILED is of the stream's own frames"
    assert len(log()) == status.self_checks["failed"]
    assert all("[yard] the self-check failed" in message for message in log())
    assert reason in log()[0]
    assert "p@ss" not in log()[0]


def test_a_frame_that_is_too_small_is_left_alone(
    ran: Ran, town: list[Frame], log: Callable[[], list[str]]
) -> None:
    small = [
        Frame((f.planes[0][:120], f.planes[1][:60], f.planes[2][:60]), f.colour, f.pts, f.time_base)
        for f in town
    ]
    network = Centre()
    status = ran.run(Clip(small), sliding(network))
    assert status.self_checks["skipped"] >= 2
    assert (len(status.self_checks), status.self_check_gain_db, network.calls) == (1, None, 0)
    (message,) = log()
    assert "a frame of 160x120 is too small for it: allowed are sides from 128 on" in message


def test_a_flat_frame_is_no_reason_to_alarm(
    ran: Ran, town: list[Frame], log: Callable[[], list[str]]
) -> None:
    luma, chroma = np.full((HEIGHT, WIDTH), 17, np.uint8), np.full((72, 80), 128, np.uint8)
    night = [Frame((luma, chroma, chroma), f.colour, f.pts, f.time_base) for f in town]
    status = ran.run(Clip([*town, *night]), sliding(Centre()))
    assert (status.self_checks["made"] >= 1, status.self_checks["skipped"] >= 1) == (True, True)
    assert status.self_check_gain_db is None, "there is no figure of what is seen now"
    (message,) = log()
    assert "the frame is flat" in message


def test_a_check_that_hangs_holds_no_frame_up(ran: Ran, town: list[Frame]) -> None:
    network = Hanging()
    during: list[int] = []

    def release(number: int) -> None:
        if number == 150:
            during.append(network.calls)
            network.released.set()

    ran.kept = Kept(release)
    pool = cpu_pool(2)
    with pool:
        clip = Clip(town, lambda: len(ran.kept.frames) >= 150)
        status = ran.run_on(CpuEngine(sliding(network), CPU, pool), clip)
    assert network.begun.is_set()
    assert during == [1], "one check at a time"
    assert status.frames_out >= 150


def test_the_end_of_a_stream_does_not_wait_for_the_rest_of_a_check(
    ran: Ran, town: list[Frame]
) -> None:
    network = HangingMemory()

    def begun() -> bool:
        if network.begun.is_set():
            threading.Timer(1.0, network.released.set).start()  # the stream ends first
        return network.begun.is_set()

    with cpu_pool(2) as pool:
        engine = CpuRecurrentEngine(sliding(network), CPU, pool)
        status = ran.run_on(engine, Clip(town, begun))
    assert network.calls == 1, "its other frames were not begun"
    assert status.self_checks == {}
    ending = [thread for thread in threading.enumerate() if "self-check" in thread.name]
    for thread in ending:
        thread.join(10)
    assert not any(thread.is_alive() for thread in ending)


@pytest.mark.parametrize("gap", [True, False], ids=["a gap", "a cut"])
async def test_no_check_reaches_across(town: list[Frame], gap: bool) -> None:
    after = [replace(town[30 + n], discontinuous=n == 0) for n in range(3)]
    if not gap:
        after = [replace(f, planes=(f.planes[0][::-1] // 4, *f.planes[1:])) for f in town[2:5]]
    network, frames = Centre(), [*town[:2], *after]
    check = SelfCheck("yard", AT_ONCE_S, lambda event: None)
    thread = threading.Thread(target=check.run)
    thread.start()
    with Engines(CPU) as engines:
        model = LoadedModel("centre", engines.of(sliding(network, 3, 1)))
        stream = model.engine.stream("yard", Meter(), lambda event: None)
        for frame in frames:
            check.see(model, stream, frame)
        await until(lambda: check.counts)
        check.close()
        thread.join(30)
    assert check.counts == {"made": 1}
    corners = [int(shrunk(f.cropped(8), 4).planes[0][0, 0]) for f in frames]
    assert not set(corners[:2]) & set(corners[2:])
    assert {level for window in network.levels for level in window} == set(corners[2:])


async def test_a_live_stream_is_checked_as_its_settings_say(tmp_path: Path) -> None:
    settings = {
        "input": {"url": "demo"},
        "model": {"device": "cpu", "self_check_s": 0.2},
    }
    with open_pipeline(StreamSettings.model_validate(settings), print) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(lambda: running.done() or pipeline.status().self_check_gain_db is not None, 60)
        pipeline.stop()
        await running
    status = pipeline.status()
    assert status.self_check_gain_db is not None
    assert status.self_check_gain_db > 0


async def test_a_file_that_is_upscaled_at_once_is_not_checked(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    settings = {
        "input": {"url": str(clip())},
        "model": {"name": "fast-small", "device": "cpu", "self_check_s": OFTEN_S},
        "output": {"path": tmp_path / "out.mp4"},
        "limits": {"frames": 10},
    }
    with open_pipeline(StreamSettings.model_validate(settings), print) as pipeline:
        await pipeline.run()
    assert pipeline.status().self_checks == {}


@pytest.fixture(scope="module")
def whole() -> Frame:
    return Frame(Scene(322, 182).frame(40), LEFT, 7, Fraction(1, 25), 3.5)


def as_rgb(frame: Frame) -> Frame:
    """The luma of a frame in three channels."""
    tags = ColourTags(matrix=0, full_range=True)
    return replace(frame, planes=(np.stack([frame.planes[0]] * 3, -1),), colour=tags)


def psnr(one: Frame, other: Frame) -> float:
    error = one.planes[0].astype(float) - other.planes[0].astype(float)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def test_the_gain_is_the_difference_of_two_psnrs(whole: Frame) -> None:
    truth = whole.cropped(8)
    small = shrunk(truth, 4)
    plain = resize_frame(small, 4 * small.width, 4 * small.height)
    noise = np.random.default_rng(0).normal(0, 6, truth.planes[0].shape)
    better = np.clip(truth.planes[0] + noise, 0, 255).astype(np.uint8)
    ours = replace(plain, planes=(better, *plain.planes[1:]))
    gained_db = gain_db(truth, small, ours)
    assert gained_db == pytest.approx(psnr(ours, truth) - psnr(plain, truth), abs=1e-3)
    assert gained_db is not None
    assert gained_db > 1
    assert gain_db(truth, small, plain) == pytest.approx(0, abs=1e-6)


def test_the_gain_of_the_truth_itself_is_a_number(whole: Frame) -> None:
    truth = whole.cropped(8)
    gained_db = gain_db(truth, shrunk(truth, 4), truth)
    assert gained_db is not None
    assert 20 < gained_db < 100


def test_rgb_is_compared_in_its_luma(whole: Frame) -> None:
    truth = as_rgb(whole.cropped(8))
    small = shrunk(truth, 4)
    assert gain_db(
        truth, small, resize_frame(small, 4 * small.width, 4 * small.height)
    ) == pytest.approx(0, abs=1e-6)
    plain = resize_frame(small, 4 * small.width, 4 * small.height)
    moved = replace(plain, planes=(np.roll(plain.planes[0], 2, 1),))
    expected = psnr(moved, truth) - psnr(plain, truth)
    assert expected < -0.5
    assert gain_db(truth, small, moved) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("noise", [0, 1])
def test_a_flat_frame_has_no_gain(noise: int) -> None:
    """The lens is covered: what differs there is rounding, and says nothing of a network."""
    luma = np.full((128, 160), 18, np.uint8)
    luma += np.random.default_rng(0).integers(0, noise + 1, luma.shape, np.uint8)
    chroma = np.full((64, 80), 128, np.uint8)
    black = Frame((luma, chroma, chroma), LEFT, 0, Fraction(1, 25))
    small = shrunk(black, 4)
    assert gain_db(black, small, resize_frame(small, 4 * small.width, 4 * small.height)) is None


def changes(comparison: BicubicComparison, gains_db: list[float]) -> list[tuple[int, bool]]:
    """The checks that changed which of the two wins, counted from 1, and whether bicubic does."""
    numbered = enumerate(gains_db, 1)
    return [(n, comparison.loses) for n, db in numbered if comparison.take(db) is not None]


def test_a_network_that_wins_goes_on_winning() -> None:
    comparison = BicubicComparison()
    assert changes(comparison, [0.4, 1.2] * 50) == []
    assert (comparison.loses, comparison.newest_db) == (False, 1.2)


def test_one_that_loses_does_so_once_and_not_before_there_are_enough_checks() -> None:
    comparison = BicubicComparison()
    assert changes(comparison, [-0.5] * 100) == [(CHECKS, True)]
    assert comparison.loses


def test_the_median_decides_and_is_given() -> None:
    gains_db = [-9.0, *[0.1] * (CHECKS // 2), *[-0.3] * (CHECKS // 2)]
    comparison = BicubicComparison()
    assert [comparison.take(db) for db in gains_db] == [None] * (CHECKS - 1) + [-0.3]
    gains_db[0] = 0.1
    assert changes(BicubicComparison(), gains_db) == []


def test_one_bad_hour_is_forgotten() -> None:
    few = CHECKS // 2
    assert changes(BicubicComparison(), ([-3.0] * few + [0.2] * (few + 1)) * 9) == []


def test_it_changes_again_only_after_as_many_checks() -> None:
    comparison = BicubicComparison()
    gains_db = [-0.5] * CHECKS + [0.5] * 100
    assert changes(comparison, gains_db) == [(CHECKS, True), (2 * CHECKS, False)]
    # the median of the last ones turns first
    assert changes(comparison, [-0.5] * 100) == [(CHECKS // 2 + 1, True)]


def test_checks_that_alternate_change_it_seldom() -> None:
    alternating = list(islice(cycle([-0.5, 0.4]), 50 * CHECKS))
    changed = changes(BicubicComparison(), alternating)
    assert len(changed) <= 50
    assert all(later - earlier >= CHECKS for (earlier, _), (later, _) in pairwise(changed))


@pytest.mark.parametrize("level", [0.0, 1e-9])
def test_what_is_level_with_bicubic_does_not_lose(level: float) -> None:
    assert changes(BicubicComparison(), [level] * 50) == []


def test_a_check_without_a_figure_takes_the_last_one_away_and_decides_nothing() -> None:
    comparison = BicubicComparison()
    changes(comparison, [-0.5] * (CHECKS - 1))
    comparison.miss()
    assert (comparison.newest_db, comparison.loses) == (None, False)
    assert comparison.take(-0.5) == -0.5
