"""Recurrent networks on the CPU engine: in order, two frames at once, resets where due."""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from streams import TAGS, assert_same, clip, enlarged, small_recurrent
from torch import Tensor

from streamsr.core.events import Code, Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import EncoderSettings
from streamsr.engine.base import ModelEngine, StreamRequest
from streamsr.engine.cpu import cpu_pool
from streamsr.engine.cpu.recurrent import CpuRecurrentEngine
from streamsr.engine.engines import Engines
from streamsr.media.encoder import VideoEncoder
from streamsr.networks.contract import Memory, RecurrentNetwork, Step
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.int8 import runs_int8
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.recurrent_int8 import Int8Recurrent
from streamsr.networks.sliding import SlidingWindow

CPU = torch.device("cpu")
WAIT_S = 30.0


class Counter(RecurrentNetwork[Tensor]):
    """Makes flat frames: 16 levels and one for each frame since the chain began."""

    def __init__(self) -> None:
        super().__init__()
        self.hold = threading.Event()  # what a level of 50 waits for before it advances
        self.second_aligned = threading.Event()  # a level of 65 was

    def fresh(self, batch: int, height: int, width: int) -> Memory:
        return (torch.zeros(batch, 1, 1, 1),)

    def align(self, window: Tensor, motion: Tensor) -> Tensor:
        level = round(float(window[0, -1].mean()) * 255)
        if level == 65:
            self.second_aligned.set()
        if level == 240:
            raise LookupError("a fault of ours")
        if level == 230:
            raise RuntimeError("it cannot be aligned")
        return window[:, -1]

    def advance(self, aligned: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        level = round(float(aligned.mean()) * 255)
        if level == 50:
            self.hold.wait(WAIT_S)
        if level == 220:
            raise RuntimeError("it cannot be advanced")
        count = memory[0] + 1
        if level == 210:
            count = count * float("nan")
        shape = (1, 1, aligned.shape[2] * 2, aligned.shape[3] * 2)
        return ((16 + count) / 255).expand(shape), (count,)


def flat(level: int, pts: int, *, discontinuous: bool = False) -> Frame:
    chroma = np.full((5, 8), 128, np.uint8)
    planes = (np.full((10, 16), level, np.uint8), chroma, chroma)
    return Frame(planes, ColourTags(1, 1, 1), pts, Fraction(1, 25), 0.0, discontinuous)


class Bench:
    """A stream of an engine, and what came of it."""

    def __init__(self, engine: ModelEngine) -> None:
        self.events: list[Event] = []
        self.meter = Meter()
        self.stream = engine.stream(StreamRequest("cam", self.meter, self.events.append))
        self.futures: list[Future[Frame]] = []

    def push(self, *levels: int, start: int = 0, discontinuous: bool = False) -> None:
        for number, level in enumerate(levels):
            frame = flat(level, start + number, discontinuous=discontinuous)
            self.futures += self.stream.push(frame)

    def counts(self) -> list[int]:
        """How many frames each output's chain had, by the outputs themselves."""
        return [int(f.result(WAIT_S).planes[0][0, 0]) - 16 for f in self.futures]


@pytest.fixture
def network() -> Counter:
    return Counter()


def model(network: Counter) -> SlidingWindow:
    return SlidingWindow(network, Facts(2, 2, 0, Colour.LUMA))


def test_each_frame_sees_the_memory_of_the_one_before(network: Counter) -> None:
    with Engines(CPU) as engines:
        bench = Bench(engines.of(model(network)))
        bench.push(*[60] * 12)
        assert bench.counts() == list(range(1, 13))


def test_a_frame_is_aligned_while_the_one_before_it_runs(network: Counter) -> None:
    with Engines(CPU) as engines:
        engine = engines.of(model(network))
        if engine.workers < 2:
            pytest.skip("this machine has one core")
        bench = Bench(engine)
        bench.push(50, 65)
        assert network.second_aligned.wait(WAIT_S)
        assert not any(future.done() for future in bench.futures)
        network.hold.set()
        assert bench.counts() == [1, 2]


def test_a_stream_that_waits_for_itself_keeps_no_thread_from_others(network: Counter) -> None:
    with Engines(CPU) as engines:
        engine = engines.of(model(network))
        if engine.workers < 2:
            pytest.skip("this machine has one core")
        slow, quick = Bench(engine), Bench(engine)
        slow.push(50, *[60] * 6)
        quick.push(*[70] * 4)
        assert quick.counts() == [1, 2, 3, 4]
        network.hold.set()
        assert slow.counts() == list(range(1, 8))


@pytest.mark.parametrize("reset", ["discontinuous", "flush"])
def test_a_chain_ends_where_frames_have_nothing_in_common(network: Counter, reset: str) -> None:
    with Engines(CPU) as engines:
        bench = Bench(engines.of(model(network)))
        bench.push(60, 60, 60)
        if reset == "flush":
            bench.futures += bench.stream.flush()
        bench.push(60, start=3, discontinuous=reset == "discontinuous")
        bench.push(60, start=4)
        assert bench.counts() == [1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (230, "the network failed: it cannot be aligned"),
        (220, "the network failed: it cannot be advanced"),
        (210, "the network gave values that are not finite"),
    ],
)
def test_a_failure_costs_one_frame_and_the_memory(
    network: Counter, level: int, reason: str
) -> None:
    with Engines(CPU) as engines:
        bench = Bench(engines.of(model(network)))
        bench.push(60, 60, level, 60, 60)
        counts = bench.counts()
    assert counts[:2] == [1, 2]
    assert counts[2] + 16 == level  # resized by a filter
    assert counts[3:] == [1, 2]
    assert [event.code for event in bench.events] == [Code.SR_FAILED]
    assert reason in bench.events[0].message


def test_closing_ends_what_still_waits(network: Counter) -> None:
    """With one thread: of what is aligned, and waits for a window that will never be run, too."""
    pool = cpu_pool(1)
    bench = Bench(CpuRecurrentEngine(model(network), CPU, pool))
    bench.push(60, 50, *[60] * 4)
    bench.futures[0].result(WAIT_S)
    closing = threading.Thread(target=pool.close)
    closing.start()
    network.hold.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert not wait(bench.futures, 5).not_done


def test_any_error_in_aligning_costs_one_frame(network: Counter) -> None:
    with Engines(CPU) as engines:
        bench = Bench(engines.of(model(network)))
        bench.push(60, 60, 240, 60, 60)
        with pytest.raises(LookupError, match="a fault of ours"):
            bench.futures.pop(2).result(WAIT_S)
        assert bench.counts() == [1, 2, 1, 2]


def test_frames_left_out_do_not_cost_the_memory(network: Counter) -> None:
    with Engines(CPU) as engines:
        bench = Bench(engines.of(model(network)))
        bench.push(60, 60)
        bench.futures += bench.stream.push(replace(flat(60, 9), after_gap=True))
        assert bench.counts() == [1, 2, 3]


def test_streams_do_not_share_a_memory(network: Counter) -> None:
    with Engines(CPU) as engines:
        engine = engines.of(model(network))
        benches: Sequence[Bench] = [Bench(engine) for _ in range(3)]
        for number in range(5):
            for bench in benches:
                bench.push(60, start=number)
        assert [bench.counts() for bench in benches] == [[1, 2, 3, 4, 5]] * 3


def test_nothing_of_a_frame_is_kept_when_it_is_done(network: Counter) -> None:
    """By counting references, since waiting for the garbage collector holds a frame's memory."""
    with Engines(CPU) as engines:
        bench = Bench(engines.of(model(network)))
        gc.collect()
        gc.disable()
        try:
            bench.push(60, 60)
            bench.counts()
            bench.futures.clear()  # a frame holds the tensors that its planes are views of
            few = _tensors()
            bench.push(*[60] * 40, start=2)
            bench.counts()
            bench.futures.clear()
            assert _tensors() < few + 20
        finally:
            gc.enable()


def _tensors() -> int:
    return sum(type(thing) is Tensor for thing in gc.get_objects())


class Parted(Counter):
    """Does each step in parts, by the levels of the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[int] = []  # of each step
        self.ran: list[str] = []  # threads, one a part
        self.begun = threading.Event()  # a part that waits for ``hold``
        self.in_step: Callable[[], None] = lambda: None

    def step(self, aligned: Tensor, memory: Memory, parts: int) -> Step:
        level = round(float(aligned.mean()) * 255)
        self.in_step()
        self.parts.append(parts)
        done: list[int] = []

        def work(number: int) -> None:
            self.ran.append(threading.current_thread().name)
            if level == 51:
                self.begun.set()
                self.hold.wait(WAIT_S)
            if level == 52:
                together.wait(WAIT_S)
            if level == 222 and number == parts - 1:
                raise RuntimeError("a part cannot be computed")
            if level == 224 and number == parts - 1:
                cv2.remap(np.zeros((2, 2)), np.zeros(3), None, cv2.INTER_LINEAR)
            if level == 223 and number == parts - 1:
                raise LookupError("a fault of ours")
            done.append(number)

        def finish() -> tuple[Tensor, Memory]:
            assert sorted(done) == list(range(parts))
            return self.advance(aligned, memory)

        together = threading.Barrier(parts)
        return Step([partial(work, number) for number in range(parts)], finish)


@contextmanager
def parted(threads: int) -> Iterator[tuple[Parted, CpuRecurrentEngine]]:
    network = Parted()
    with cpu_pool(threads) as pool:
        yield network, CpuRecurrentEngine(model(network), CPU, pool)
        network.hold.set()


@pytest.mark.parametrize(("threads", "parts"), [(1, 1), (2, 2), (3, 3), (8, 4)])
def test_one_streams_steps_are_made_by_all_threads(threads: int, parts: int) -> None:
    with parted(threads) as (network, engine):
        bench = Bench(engine)
        bench.push(*[52] * 6)  # whose parts wait for one another
        assert bench.counts() == list(range(1, 7))
    assert network.parts == [parts] * 6
    assert len(set(network.ran)) >= parts


@pytest.mark.parametrize(("streams", "parts"), [(2, 2), (3, 1), (4, 1), (5, 1)])
def test_streams_share_the_threads(streams: int, parts: int) -> None:
    with parted(4) as (network, engine):
        benches = [Bench(engine) for _ in range(streams)]
        for bench in benches:
            bench.push(60)
            bench.counts()
        network.parts.clear()
        for bench in benches:
            bench.push(60, 60, start=1)
        assert [bench.counts() for bench in benches] == [[1, 2, 3]] * streams
    assert network.parts == [parts] * 2 * streams


@pytest.mark.parametrize(
    ("level", "reason"), [(222, "a part cannot be computed"), (224, "OpenCV")], ids=str
)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_part_that_fails_costs_one_frame_and_the_memory(
    threads: int, level: int, reason: str
) -> None:
    with parted(threads) as (_, engine):
        bench = Bench(engine)
        bench.push(60, 60, level, 60, 60)
        counts = bench.counts()
    assert (counts[:2], counts[2] + 16, counts[3:]) == ([1, 2], level, [1, 2])
    assert [event.code for event in bench.events] == [Code.SR_FAILED]
    assert reason in bench.events[0].message


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_error_in_a_part_costs_one_frame(threads: int) -> None:
    with parted(threads) as (_, engine):
        bench = Bench(engine)
        bench.push(60, 60, 223, 60, 60)
        with pytest.raises(LookupError, match="a fault of ours"):
            bench.futures.pop(2).result(WAIT_S)
        assert bench.counts() == [1, 2, 1, 2]


def test_closing_ends_what_waits_for_parts() -> None:
    """Three of them are queued, and the windows after theirs wait for what it leaves."""
    network, pool = Parted(), cpu_pool(1)
    engine = CpuRecurrentEngine(model(network), CPU, pool)
    engine.workers = 4
    bench = Bench(engine)
    bench.push(60, 51, *[60] * 4)
    bench.futures[0].result(WAIT_S)
    assert network.begun.wait(WAIT_S)
    closing = threading.Thread(target=pool.close)
    closing.start()
    network.hold.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert not wait(bench.futures, 5).not_done


def test_closing_before_parts_are_queued_ends_what_waits_for_them() -> None:
    network, pool = Parted(), cpu_pool(2)
    bench = Bench(CpuRecurrentEngine(model(network), CPU, pool))
    closing, pushed = threading.Thread(target=pool.close), threading.Event()

    def close() -> None:
        """Goes on once nothing can be queued any more."""
        pushed.wait(WAIT_S)
        closing.start()
        while not pool._closed:
            time.sleep(0.001)

    network.in_step = close
    bench.push(60, 60, 60)
    pushed.set()
    assert not wait(bench.futures, WAIT_S).not_done
    assert all(future.cancelled() for future in bench.futures)
    closing.join(WAIT_S)


@pytest.mark.skipif(not runs_int8(), reason="this CPU has no AVX2")
@pytest.mark.parametrize("tags", TAGS, ids=str)
def test_levels_of_odd_frames_are_the_same_on_any_threads(tags: ColourTags) -> None:
    """In three strips or in one piece; near to the network's floats, and fit to be encoded."""
    exact = small_recurrent(scale=2, fold=2, multiple=2)
    assert isinstance(exact.network, Recurrent)
    model = SlidingWindow(Int8Recurrent(exact.network), exact.facts, "int8")
    frames = clip(4, (199, 131), tags)
    made = {threads: _upscaled(model, frames, threads) for threads in (1, 3)}
    assert_same(made[3], made[1])
    for one, other, frame in zip(made[1], _upscaled(exact, frames, 1), frames, strict=True):
        assert (one.width, one.height) == (262, 398)
        error = np.abs(one.planes[0].astype(int) - other.planes[0])
        detail = np.abs(enlarged(frame, 2).planes[0].astype(int) - other.planes[0]).mean()
        assert error.mean() < 0.2 * detail
    encoder = VideoEncoder(EncoderSettings(), made[1][0], Fraction(25), Fraction(1))
    assert all(encoder.encode(frame) for frame in made[1])


def _upscaled(model: SlidingWindow, frames: Sequence[Frame], threads: int) -> list[Frame]:
    with cpu_pool(threads) as pool:
        stream = CpuRecurrentEngine(model, CPU, pool).stream(StreamRequest("cam", Meter(), _refuse))
        done = [future for frame in frames for future in stream.push(frame)]
        return [future.result(WAIT_S) for future in done]


def _refuse(event: Event) -> None:
    raise AssertionError(event.message)
