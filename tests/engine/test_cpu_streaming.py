"""The CPU engine of streaming networks: the same frames as whole windows give, work done ahead."""

from collections.abc import Sequence
from concurrent.futures import CancelledError
from threading import Event

import pytest
import torch
from torch import Tensor

from streamsr.core.frame import Frame
from streamsr.engine.cpu import CpuEngine, cpu_pool
from streamsr.engine.cpu.memory import MemoryPlan
from streamsr.engine.cpu.streaming import CpuStreamingEngine
from streamsr.engine.engines import Engines
from streamsr.networks.contract import Rows, StreamingNetwork
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow
from tests.engine.streams import TAGS, Bench, assert_same, clip, flat, small_edvr

WAIT_S = 30
CPU = torch.device("cpu")
TILED = [MemoryPlan(2, in_order=True, tiles=count) for count in (1, 2)]


class Noted(StreamingNetwork):
    """Gives the mean of a window; notes what it does, and fails where it is told to."""

    centre = 2  # type: ignore[assignment] # a constant

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.failing: set[str] = set()
        self.last_ahead = Event()

    def _note(self, what: str) -> None:
        if what in self.failing:
            self.failing.remove(what)
            raise RuntimeError(f"cannot: {what}")
        self.done.append(what)

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1) / 5

    def features(self, frames: Tensor) -> Rows:
        self._note(f"features {level_of(frames)}")
        return (frames,)

    def reference(self, features: Rows) -> Rows:
        return features

    def align(self, frames: Rows, references: Rows) -> Tensor:
        for frame, reference in zip(frames[0], references[0], strict=True):
            levels = [level_of(one) for one in (frame, reference)]
            self._note(f"{levels[0]} to {levels[1]}")
            if levels == [26, 25]:
                self.last_ahead.set()
        return frames[0]

    def restore(self, aligned: Sequence[Tensor], pixels: Tensor) -> Tensor:
        self._note(f"restore {level_of(pixels)}")
        return torch.stack(list(aligned)).sum(0) / 5


@pytest.fixture
def noted() -> Noted:
    return Noted()


def model_of(network: Noted) -> SlidingWindow:
    return SlidingWindow(network, Facts(1, 5, 2, Colour.RGB))


def level_of(pixels: Tensor) -> int:
    """The luma of a flat frame, which is RGB here."""
    return round(float(pixels.amax()) * 219 + 16)


def flats(count: int, level: int = 20) -> list[Frame]:
    """Frames, each a level brighter."""
    return [flat(level + n, n) for n in range(count)]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_frames_are_those_of_whole_windows(workers: int, count: int) -> None:
    model = small_edvr()
    frames = clip(count, (24, 32), TAGS[0])
    with cpu_pool(workers) as pool:
        expected = Bench(CpuEngine(model, CPU, pool)).run(frames)
        made = Bench(CpuStreamingEngine(model, CPU, pool)).run(frames)
    assert_same(made, expected, 1)  # sums of another order


def test_a_model_with_a_streaming_form_streams() -> None:
    with Engines(CPU) as engines:
        assert isinstance(engines.of(small_edvr()), CpuStreamingEngine)


def test_no_work_is_done_twice(noted: Noted) -> None:
    with cpu_pool(2) as pool:
        engine = CpuStreamingEngine(model_of(noted), CPU, pool)
        engine.plan(2, 2)  # counts on a frame of its own
        noted.done.clear()
        Bench(engine).run(flats(9))
    assert len(set(noted.done)) == len(noted.done) == 9 + 45 + 9


def test_what_can_be_done_ahead_is_done_before_the_next_frame(noted: Noted) -> None:
    with cpu_pool(2) as pool:
        stream = Bench(CpuStreamingEngine(model_of(noted), CPU, pool)).stream
        for frame in flats(7):
            for upscaled in stream.push(frame):
                upscaled.result(WAIT_S)
        assert noted.last_ahead.wait(WAIT_S)


@pytest.mark.parametrize("failing", ["features 24", "23 to 24", "24 to 24"])
def test_what_fails_ahead_is_tried_again(noted: Noted, failing: str) -> None:
    noted.failing = {failing}
    with cpu_pool(2) as pool:
        bench = Bench(CpuStreamingEngine(model_of(noted), CPU, pool))
        made = bench.run(flats(9))
    assert len(made) == 9
    assert not noted.failing
    assert bench.events == []


def test_a_window_that_fails_is_scaled_plainly_and_counted(noted: Noted) -> None:
    noted.failing = {"restore 24"}
    with cpu_pool(2) as pool:
        bench = Bench(CpuStreamingEngine(model_of(noted), CPU, pool))
        made = bench.run(flats(9))
    assert len(made) == 9
    assert ["cannot: restore 24" in event.text for event in bench.events] == [True]


def test_nothing_reaches_across_a_cut(noted: Noted) -> None:
    with cpu_pool(2) as pool:
        frames = [flat(20, n) for n in range(7)]
        frames += [flat(200, n, discontinuous=n == 7) for n in range(7, 13)]
        Bench(CpuStreamingEngine(model_of(noted), CPU, pool)).run(frames)
    assert not {"20 to 200", "200 to 20"} & set(noted.done)


def test_closing_leaves_nobody_waiting(noted: Noted) -> None:
    pool = cpu_pool(1)
    stream = Bench(CpuStreamingEngine(model_of(noted), CPU, pool)).stream
    pending = [upscaled for frame in flats(12) for upscaled in stream.push(frame)]
    pool.close()
    for upscaled in pending:
        try:
            upscaled.result(WAIT_S)
        except CancelledError:
            continue
    with pytest.raises(RuntimeError, match="closed"):
        stream.push(flat(99, 12))


@pytest.mark.parametrize(
    "plan", [MemoryPlan(2, in_order=True), MemoryPlan(1, in_order=True), *TILED], ids=str
)
@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_frames_are_the_same_in_any_memory(
    plan: MemoryPlan, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_edvr()
    frames = clip(count, (160, 208), TAGS[0]) if plan.tiles > 1 else clip(count, (24, 32), TAGS[0])
    monkeypatch.setattr(EDVR, "reach", property(lambda _: 60))  # of this one's few layers
    monkeypatch.setattr(CpuStreamingEngine, "plan", lambda *_: plan)
    with cpu_pool(2) as pool:
        expected = Bench(CpuEngine(model, CPU, pool)).run(frames)
        bench = Bench(CpuStreamingEngine(model, CPU, pool))
        made = bench.run(frames)
    assert bench.events == []
    assert_same(made, expected, 1)


def test_in_order_no_window_is_begun_before_the_last_one_is_done(
    noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CpuStreamingEngine, "plan", lambda *_: MemoryPlan(3, in_order=True))
    with cpu_pool(3) as pool:
        Bench(CpuStreamingEngine(model_of(noted), CPU, pool)).run(flats(9))
    assert len(set(noted.done)) == len(noted.done) == 9 + 45 + 9
    restored = [at for at, what in enumerate(noted.done) if what.startswith("restore")]
    assert [noted.done[at] for at in restored] == [f"restore {n}" for n in range(20, 29)]
    for number, at in enumerate(restored, start=20):
        for_later = [w for w in noted.done[:at] if int(w.split(" to ")[-1].split()[-1]) > number]
        assert not [what for what in for_later if " to " in what]


def test_in_tiles_nothing_is_kept(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        CpuStreamingEngine, "plan", lambda *_: MemoryPlan(2, in_order=True, tiles=1)
    )
    with cpu_pool(2) as pool:
        Bench(CpuStreamingEngine(model_of(noted), CPU, pool)).run(flats(9))
    assert sum(what.startswith("features") for what in noted.done) == 45


def test_a_stream_takes_the_memory_that_it_is_given() -> None:
    with cpu_pool(2) as pool:
        little = CpuStreamingEngine(small_edvr(), CPU, pool, memory=4 << 20)
        assert little.plan(24, 32) == MemoryPlan(2)
        assert little.plan(360, 640).in_order
