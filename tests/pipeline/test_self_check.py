"""Self-checks over the real engine: what they find, say and leave alone, and how they steer."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from time import sleep

import numpy as np
import pytest
import torch
from peers.waiting import until
from torch import Tensor, nn

from streamsr.core.events import Code, Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import InputSettings, ModelSettings, StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import ModelEngine, StreamRequest
from streamsr.engine.cpu import CpuEngine, cpu_pool
from streamsr.engine.cpu.recurrent import CpuRecurrentEngine
from streamsr.engine.engines import Engines
from streamsr.engine.resample import resize_frame
from streamsr.media.camera_codec import CameraCoding, coded
from streamsr.media.source import Item, SourceInfo
from streamsr.networks.contract import Memory, RecurrentNetwork
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import Resample, resize
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.build import open_pipeline
from streamsr.pipeline.comparison import CHECKS
from streamsr.pipeline.model_choice import Chosen
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.pipeline import Pipeline
from streamsr.pipeline.self_check import COUNTED, MEMORIES, SelfCheck
from streamsr.sources.demo import Scene
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import find

CPU = torch.device("cpu")
WIDTH, HEIGHT = 160, 144
OFTEN_S = 0.001
MOST = 3000  # frames of a clip that is shown again and again
AT_ONCE_S = 1e-9


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
    reconnects = jumps = moved = 0
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
            yield replace(frame, pts=number, discontinuous=False)


class Kept:
    """A sink that keeps the frames, and the names of the threads there are."""

    not_kept = ()

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
        self.pipeline: Pipeline | None = None

    def checked(self, count: int, result: str = "made") -> bool:
        """Returns whether so many checks have ended so."""
        return (
            self.pipeline is not None and self.pipeline.status().self_checks.get(result, 0) >= count
        )

    def run(
        self, source: Clip, model: SlidingWindow, every_s: float = OFTEN_S, name: str = "model"
    ) -> StreamStatus:
        with Engines(CPU) as engines:
            return self.run_on(engines.of(model), source, every_s, name)

    def run_on(
        self, engine: ModelEngine, source: Clip, every_s: float = OFTEN_S, name: str = "model"
    ) -> StreamStatus:
        self.pipeline = pipeline = Pipeline(
            StreamSettings(name="yard", input=InputSettings(url="clip")),
            source,
            lambda info, kept: Chosen([LoadedModel(name, engine)]),
            workers=engine.workers,
            device="cpu",
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
    clip = Clip(town, lambda: ran.checked(3))
    status = ran.run(clip, load_model(find("fast-small"), CPU))
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
    [(Centre(), 1, 0), (Centre(), 5, 2), (Remembering(), 2, 0)],
    ids=["one frame", "a window", "a memory"],
)
def test_the_frame_that_counts_has_all_that_a_network_looks_at(
    ran: Ran, town: list[Frame], network: nn.Module, window: int, lookahead: int
) -> None:
    """What gives bicubic of the right frame, and nothing else, gains nothing."""
    clip = Clip(town, lambda: ran.checked(1))
    status = ran.run(clip, sliding(network, window, lookahead))
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
    status = checked.run(Clip(town * 6), sliding(Mixed(), window, window // 2))
    plain = unchecked.run(Clip(town * 6), sliding(Mixed(), window, window // 2), 0.0)
    assert status.self_checks["made"] >= 3
    assert (status.frames_in, plain.frames_in) == (300, 300)
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
    thrice = 3 * (MEMORIES + COUNTED)
    status = ran.run(Clip(town, lambda: network.calls >= thrice), sliding(network))
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
    status = ran.run(Clip(small, lambda: ran.checked(2, "skipped")), sliding(network))
    assert (len(status.self_checks), status.self_check_gain_db, network.calls) == (1, None, 0)
    (message,) = log()
    assert "a frame of 160x120 is too small for it: allowed are sides from 128 on" in message


def test_a_flat_frame_is_no_reason_to_alarm(
    ran: Ran, town: list[Frame], log: Callable[[], list[str]]
) -> None:
    luma, chroma = np.full((HEIGHT, WIDTH), 17, np.uint8), np.full((72, 80), 128, np.uint8)
    night = [Frame((luma, chroma, chroma), f.colour, f.pts, f.time_base) for f in town]
    ran.kept = Kept(lambda number: sleep(0.04))  # so that each half has its checks
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
        engine = CpuRecurrentEngine(sliding(network, 2), CPU, pool)
        status = ran.run_on(engine, Clip(town, begun))
    assert network.calls == 1, "its other frames were not begun"
    assert status.self_checks == {}
    ending = [thread for thread in threading.enumerate() if "self-check" in thread.name]
    for thread in ending:
        thread.join(10)
    assert not any(thread.is_alive() for thread in ending)


class Camera(Clip):
    """A live source, which does not wait."""

    live = True
    name = "camera"

    def items(self, stop: threading.Event) -> Iterator[Item]:
        for item in super().items(stop):
            stop.wait(0.03)
            yield item


PLAIN = SlidingWindow(Resample(), Facts(4, 1, 0, Colour.LUMA))


def test_a_stream_leaves_what_loses_and_returns_when_it_wins(town: list[Frame]) -> None:
    events: list[Event] = []
    ran, seen = Kept(), set[str]()
    network, other = Sharper(-1), Sharper(-1)

    def ended() -> bool:
        codes = [event.code for event in events]
        seen.add(pipeline.status().model)
        if Code.MODEL_FALLBACK in codes:
            network.sign = 1
        return Code.MODEL_RESTORED in codes

    with Engines(CPU) as engines:
        models = [
            LoadedModel(name, engines.of(model))
            for name, model in (("wanted", sliding(network)), ("other", sliding(other)))
        ]
        models.append(LoadedModel("bicubic", engines.of(PLAIN)))
        pipeline = Pipeline(
            StreamSettings(
                name="yard",
                input=InputSettings(url="camera"),
                model=ModelSettings(budget_ms=10_000),  # on a busy machine, too
            ),
            Camera(town, ended),
            lambda info, kept: Chosen(models, TargetSize(scale=Fraction(3))),
            workers=2,
            device="cpu",
            emit=events.append,
            frame_sinks=[ran],
            self_check_s=OFTEN_S,
        )
        asyncio.run(asyncio.wait_for(pipeline.run(), 200))
    codes = [event.code for event in events if event.code.startswith("MODEL")]
    assert codes == [Code.MODEL_FALLBACK, Code.MODEL_RESTORED], events
    down, up = (event.message for event in events if event.code in codes)
    assert down == "from wanted to bicubic: the former is worse than plain scaling on this stream"
    assert up == "from bicubic to wanted: the latter is better than plain scaling again"
    assert seen == {"", "wanted", "bicubic"}
    said = [(event.code, event.message.split()[0]) for event in events if "SR" in event.code]
    assert (Code.SR_LOSES, "wanted") in said
    assert (Code.SR_WINS, "wanted") in said
    sizes = {(frame.width, frame.height) for frame in ran.frames}
    assert sizes == {(3 * WIDTH, 3 * HEIGHT)}
    status = pipeline.status()
    assert (status.wanted, status.self_check_loses) == ("wanted", False)


class Same(Centre):
    """Nothing is enlarged; or what is there is spoilt, by ``scale``."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        return 0.5 + (x[:, 0] - 0.5) * self.by


@pytest.mark.parametrize(("by", "gained"), [(1.0, 0.0), (0.5, -6.0)], ids=["nothing", "contrast"])
def test_a_model_that_restores_is_checked(
    ran: Ran, town: list[Frame], by: float, gained: float
) -> None:
    sent = list(coded(town, CameraCoding(kbit_s=400)))
    model = SlidingWindow(Same(by), Facts(1, 1, 0, Colour.LUMA))
    status = ran.run(Clip(sent, lambda: ran.checked(1)), model)
    assert status.self_check_gain_db is not None
    assert (status.self_check_gain_db == 0) if not gained else status.self_check_gain_db < gained


async def test_a_check_is_of_the_size_that_the_stream_has(town: list[Frame]) -> None:
    """By 2 where the model enlarges by 4: what is resized after it counts."""
    network, widths = Centre(), set[int]()
    network.small = lambda x: widths.add(x.shape[-1])  # type: ignore[method-assign]
    check = SelfCheck("yard", AT_ONCE_S, lambda event: None)
    thread = threading.Thread(target=check.run)
    thread.start()
    with Engines(CPU) as engines:
        models = [LoadedModel("centre", engines.of(sliding(network)))]
        target = TargetSize(scale=Fraction(2))
        stream = models[0].engine.stream(
            StreamRequest("yard", Meter(), lambda event: None, target=target)
        )
        for frame in town[: MEMORIES + COUNTED]:
            check.see(models, stream, frame)
        await until(lambda: check.counts)
        check.close()
        thread.join(30)
    assert check.counts == {"made": 1}
    assert widths == {WIDTH // 2}
    assert check.comparison(models).newest_db == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("gap", [True, False], ids=["a gap", "a cut"])
async def test_no_check_reaches_across(town: list[Frame], gap: bool) -> None:
    after = [replace(town[30 + n], discontinuous=n == 0) for n in range(MEMORIES + COUNTED)]
    before = [replace(f, planes=(f.planes[0] // 2 + 90, *f.planes[1:])) for f in town[:2]]
    if not gap:
        before, after = town[:2], town[2 : 2 + MEMORIES + COUNTED]
        after = [replace(f, planes=(f.planes[0][::-1] // 4, *f.planes[1:])) for f in after]
    network, frames = Centre(), [*before, *after]
    check = SelfCheck("yard", AT_ONCE_S, lambda event: None)
    thread = threading.Thread(target=check.run)
    thread.start()
    with Engines(CPU) as engines:
        models = [LoadedModel("centre", engines.of(sliding(network, 3, 1)))]
        stream = models[0].engine.stream(StreamRequest("yard", Meter(), lambda event: None))
        for frame in frames:
            check.see(models, stream, frame)
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
        "model": {"name": "fast-small", "device": "cpu", "self_check_s": 0.2},
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
