"""The engine: every frame once, in order; no window across a discontinuity; failures survived."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from streamsr.core.events import Code, Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream, ModelEngine, StreamRequest
from streamsr.engine.colour import network_input, network_output
from streamsr.engine.engines import Engines
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import resize
from streamsr.networks.sliding import SlidingWindow

CPU = torch.device("cpu")


class Toy(nn.Module):
    """Gives the centre of each window, every pixel doubled, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[tuple[int, ...]] = []  # of each window's frames, which are flat
        self.shapes: set[tuple[int, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.add(tuple(x.shape[2:]))
        corners = (x[:, :, 0, 0, 0] * 255).round().int()
        self.levels += [tuple(window) for window in corners.tolist()]
        centre = x[:, x.shape[1] // 2]
        return centre.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Broken(Toy):
    """Gives a value that is not finite for levels of 200 and above."""

    bad = float("nan")

    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        output[output.amax((1, 2, 3)) >= 200 / 255, :, 1, 1] = self.bad
        return output


class Reversed(Toy):
    """Holds the frame of level 50 back until that of level 51 is done."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[int] = []
        self._second = threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        level = round(output.max().item() * 255)
        if level == 50:
            assert self._second.wait(20)
        self.order.append(level)
        if level == 51:
            self._second.set()
        return output


def facts(window: int = 3, multiple: int = 1, colour: Colour = Colour.LUMA) -> Facts:
    return Facts(2, window, window // 2, colour, multiple)


class Bench:
    """An engine with one stream, and what came of it."""

    def __init__(self, engine: ModelEngine) -> None:
        self.meter = Meter()
        self.events: list[Event] = []
        request = StreamRequest("cam", self.meter, self.events.append)
        self.stream: EngineStream = engine.stream(request)

    def run(self, frames: Sequence[Frame]) -> list[Frame]:
        done: list[Future[Frame]] = []
        for frame in frames:
            done += self.stream.push(frame)
        done += self.stream.flush()
        return [future.result(timeout=30) for future in done]


@contextmanager
def running(model: SlidingWindow) -> Iterator[ModelEngine]:
    with Engines(CPU) as engines:
        yield engines.of(model)


@pytest.fixture
def network() -> Toy:
    return Toy()


@pytest.fixture
def bench(network: Toy) -> Iterator[Bench]:
    with running(SlidingWindow(network, facts())) as engine:
        yield Bench(engine)


def flat(
    level: int, pts: int, *, size: tuple[int, int] = (18, 32), discontinuous: bool = False
) -> Frame:
    height, width = size
    chroma = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    planes = (np.full(size, level, np.uint8), chroma, chroma)
    return Frame(planes, ColourTags(1, 1, 1), pts, Fraction(1, 25), 0.0, discontinuous)


def test_frames_come_out_once_in_order_and_twice_the_size(bench: Bench) -> None:
    frames = [flat(60 + n, 10 * n) for n in range(9)]
    upscaled = bench.run(frames)
    assert [f.pts for f in upscaled] == [f.pts for f in frames]
    assert [int(f.planes[0][5, 5]) for f in upscaled] == [60 + n for n in range(9)]
    assert {(f.height, f.width) for f in upscaled} == {(36, 64)}
    assert {f.colour for f in upscaled} == {frames[0].colour}
    assert bench.events == []


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_flush_gives_the_last_frames_of_streams_of_any_length(bench: Bench, count: int) -> None:
    early = [future for n in range(count) for future in bench.stream.push(flat(90, n))]
    late = bench.stream.flush()
    assert len(early) == (count - 1 if count >= 3 else 0)  # a window of 3 looks one ahead
    assert [f.result(timeout=30).pts for f in early + late] == list(range(count))
    assert bench.stream.flush() == []


def test_flushing_nothing_gives_nothing(bench: Bench) -> None:
    assert bench.stream.flush() == []


def test_workers_that_overtake_each_other_do_not_change_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 3})
    network = Reversed()
    with running(SlidingWindow(network, facts(window=1))) as engine:
        assert engine.workers == 4
        upscaled = Bench(engine).run([flat(50 + n, n) for n in range(8)])
    assert network.order.index(51) < network.order.index(50)
    assert [f.pts for f in upscaled] == list(range(8))
    assert [int(f.planes[0][0, 0]) for f in upscaled] == [50 + n for n in range(8)]


def test_no_window_reaches_across_a_discontinuity(bench: Bench, network: Toy) -> None:
    frames = [flat(100 + n // 4, n, discontinuous=n in (4, 8)) for n in range(11)]
    assert [f.pts for f in bench.run(frames)] == list(range(11))
    assert network.levels.count((100, 100, 100)) == 4
    assert all(len(set(window)) == 1 for window in network.levels)


def test_without_a_discontinuity_windows_do_reach_across(bench: Bench, network: Toy) -> None:
    bench.run([flat(100 + n // 4, n) for n in range(8)])
    across = sorted(window for window in network.levels if len(set(window)) > 1)
    assert across == [(100, 100, 101), (100, 101, 101)]


def test_no_window_reaches_across_a_scene_cut(bench: Bench, network: Toy) -> None:
    random = np.random.default_rng(0)

    def scene(seed: int, pts: int) -> Frame:
        cells = np.random.default_rng(seed).integers(16, 235, (9, 16), np.uint8)
        luma = np.kron(cells, np.ones((4, 4), np.uint8))
        luma = (luma * (0.4 + 0.6 * seed)).astype(np.uint8) + random.integers(0, 2, luma.shape)
        luma[0, 0] = 100 + seed
        chroma = np.full((18, 32), 128, np.uint8)
        return Frame((luma.astype(np.uint8), chroma, chroma), ColourTags(), pts, Fraction(1, 25))

    upscaled = bench.run([scene(n // 5, n) for n in range(10)])
    assert [f.pts for f in upscaled] == list(range(10))
    assert set(network.levels) == {(100, 100, 100), (101, 101, 101)}


def test_no_window_reaches_across_a_change_of_size(bench: Bench, network: Toy) -> None:
    sizes = [(18, 32)] * 4 + [(20, 40)] * 1 + [(18, 32)] * 3 + [(9, 16)] * 2
    frames = [flat(100 + n, n, size=size) for n, size in enumerate(sizes)]
    upscaled = bench.run(frames)
    assert [f.pts for f in upscaled] == list(range(10))
    assert [(f.height // 2, f.width // 2) for f in upscaled] == sizes
    spans = [{100, 101, 102, 103}, {104}, {105, 106, 107}, {108, 109}]
    assert all(any(set(window) <= span for span in spans) for window in network.levels)


def test_a_window_of_one_frame_keeps_its_latency_at_a_discontinuity(network: Toy) -> None:
    with running(SlidingWindow(network, facts(window=1))) as engine:
        stream = Bench(engine).stream
        frames = [flat(90, n, discontinuous=n == 2) for n in range(4)]
        assert [len(stream.push(frame)) for frame in frames] == [1, 1, 1, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("colour", list(Colour))
def test_values_that_are_not_finite_become_bicubic(bad: float, colour: Colour) -> None:
    network = Broken()
    network.bad = bad
    frames = [flat(level, n) for n, level in enumerate((90, 91, 220, 93))]
    frames[2].planes[0][4:9, 7:20] = 30  # so that bicubic is not doubled pixels
    with running(SlidingWindow(network, facts(window=1, colour=colour))) as engine:
        bench = Bench(engine)
        upscaled = bench.run(frames)
    pixels = resize(network_input(frames[2], Colour.LUMA, CPU), 2)
    expected = network_output(pixels, frames[2], Colour.LUMA)
    for plane, wanted in zip(upscaled[2].planes, expected, strict=True):
        np.testing.assert_array_equal(plane, wanted)
    assert [int(f.planes[0][0, 0]) for f in upscaled] == [90, 91, 220, 93]
    assert [(e.code, e.stream) for e in bench.events] == [(Code.SR_FAILED, "cam")]
    assert bench.meter["failed"] == 1


@pytest.mark.parametrize("colour", list(Colour))
def test_odd_sizes_are_padded_for_the_network_and_cut_again(colour: Colour) -> None:
    network = Toy()
    random = np.random.default_rng(4)
    luma = random.integers(16, 236, (27, 45), np.uint8)
    grey = np.full((14, 23), 128, np.uint8)
    frame = Frame((luma, grey, grey), ColourTags(1, 1, 1), 0, Fraction(1, 25))
    with running(SlidingWindow(network, facts(1, 4, colour))) as engine:
        (upscaled,) = Bench(engine).run([frame])
    assert network.shapes == {(colour.channels, 28, 48)}
    assert [p.shape for p in upscaled.planes] == [(54, 90), (27, 45), (27, 45)]
    np.testing.assert_allclose(
        upscaled.planes[0].astype(int), luma.repeat(2, 0).repeat(2, 1), atol=1
    )


def test_every_frame_comes_out_once_whatever_happens(bench: Bench) -> None:
    random = np.random.default_rng(8)
    size, frames = (18, 32), []
    for pts in range(60):
        if random.random() < 0.15:
            size = tuple(random.integers(4, 30, 2).tolist())
        broken = random.random() < 0.2
        frames.append(flat(int(random.integers(16, 236)), pts, size=size, discontinuous=broken))
    upscaled = bench.run(frames)
    assert [f.pts for f in upscaled] == list(range(60))
    assert [(f.height, f.width) for f in upscaled] == [(2 * f.height, 2 * f.width) for f in frames]
    assert [int(f.planes[0][0, 0]) for f in upscaled] == [int(f.planes[0][0, 0]) for f in frames]


def test_streams_of_one_engine_do_not_mix(network: Toy) -> None:
    with running(SlidingWindow(network, facts())) as engine:
        first, second = Bench(engine), Bench(engine)
        futures: list[list[Future[Frame]]] = [[], []]
        for n in range(5):
            futures[0] += first.stream.push(flat(60, n))
            futures[1] += second.stream.push(flat(160, n, size=(20, 20)))
        futures[0] += first.stream.flush()
        futures[1] += second.stream.flush()
        levels = [{int(f.result(30).planes[0][0, 0]) for f in ours} for ours in futures]
    assert levels == [{60}, {160}]
    assert all(len(set(window)) == 1 for window in network.levels)


def test_a_fault_in_a_network_reaches_its_stream_and_no_other() -> None:
    class Faulty(Toy):
        def forward(self, x: Tensor) -> Tensor:
            if round(float(x.max()) * 255) == 200:
                raise LookupError("a fault of ours")
            return super().forward(x)

    with running(SlidingWindow(Faulty(), facts(window=1))) as engine:
        bad, good = Bench(engine).stream, Bench(engine).stream
        (failed,) = bad.push(flat(200, 0))
        with pytest.raises(LookupError, match="a fault of ours"):
            failed.result(30)
        (fine,) = good.push(flat(90, 0))
        assert fine.result(30).planes[0][0, 0] == 90


def test_rgb_frames_stay_rgb(network: Toy) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (10, 14, 3), np.uint8)
    frames = [Frame((pixels,), ColourTags(0, 1, 13, True), n, Fraction(1)) for n in range(4)]
    with running(SlidingWindow(network, facts(colour=Colour.RGB))) as engine:
        upscaled = Bench(engine).run(frames)
    for frame in upscaled:
        np.testing.assert_array_equal(frame.planes[0], pixels.repeat(2, 0).repeat(2, 1))
