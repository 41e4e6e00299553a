"""Recurrent networks on CUDA's engine, on a device of CPU tensors: each stream has its own memory.

``Counting`` shows what it remembers: the nth frame of a chain comes out n levels brighter.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from itertools import count as counted

import pytest
import torch
from streams import (
    Bench,
    Centre,
    Clock,
    Counting,
    assert_same,
    centre_model,
    counting_model,
    enlarged,
    flat,
    of_cpu,
)
from torch import Tensor, nn

from streamsr.core.events import Code
from streamsr.core.frame import Frame
from streamsr.engine.cuda.capacity import FIRST_S
from streamsr.engine.cuda.engine import AGAIN_S, CudaEngine
from streamsr.engine.cuda.host_device import MakeDevice
from streamsr.networks.contract import Memory


def levels(frames: list[Frame]) -> list[int]:
    return [int(frame.planes[0][7, 9]) for frame in frames]


def results(futures: list[Future[Frame]]) -> list[Frame]:
    return [future.result(timeout=60) for future in futures]


class Piling:
    """Holds a network's first run until everything is pushed, so that windows pile up."""

    def __init__(self, network: nn.Module) -> None:
        self._entered = threading.Event()
        self._go = threading.Event()
        network.register_forward_pre_hook(self._hold)

    def push(self, benches: list[Bench], clips: list[list[Frame]]) -> list[list[Frame]]:
        """The first stream's first frame alone, then all the others by rows; what comes of it."""
        done: list[list[Future[Frame]]] = [[] for _ in benches]
        for number in range(len(clips[0])):
            for bench, frames, futures in zip(benches, clips, done, strict=True):
                futures.extend(bench.stream.push(frames[number]))
                if not self._entered.is_set():
                    assert self._entered.wait(60)
        self._go.set()
        return [results(futures) for futures in done]

    def _hold(self, *_: object) -> None:
        self._entered.set()
        assert self._go.wait(60)


@pytest.fixture
def network() -> Counting:
    return Counting()


@pytest.fixture
def engine(network: Counting, host_device: MakeDevice) -> Iterator[CudaEngine]:
    with CudaEngine(counting_model(network), host_device()) as engine:
        yield engine


@pytest.mark.parametrize("delays", [None, 4])
def test_each_frame_sees_what_the_one_before_left(
    host_device: MakeDevice, delays: int | None
) -> None:
    network, frames = Counting(), [flat(60 + 3 * n, n) for n in range(20)]
    with CudaEngine(counting_model(network), host_device(delays)) as engine:
        made = Bench(engine).run(frames)
    assert levels(made) == [60 + 4 * n for n in range(20)]
    assert_same(made, of_cpu(counting_model(Counting()), frames))
    assert network.chains == 1  # nothing is allocated for a frame


@pytest.mark.parametrize("delays", [None, 4])
def test_streams_one_after_the_other_do_not_see_each_others_memory(
    host_device: MakeDevice, delays: int | None
) -> None:
    """The second stream begins when the first has a memory, and changes row as that ends."""
    network = Counting()
    with CudaEngine(counting_model(network), host_device(delays), max_wait_s=0.02) as engine:
        first, second = Bench(engine), Bench(engine)
        futures: list[list[Future[Frame]]] = [[], []]
        for n in range(12):
            if n < 8:
                futures[0] += first.stream.push(flat(60, n))
            if n >= 3:
                futures[1] += second.stream.push(flat(120, n))
        assert levels(results(futures[0])) == [60 + n for n in range(8)]
        assert levels(results(futures[1])) == [120 + n for n in range(9)]
    assert max(network.batches) == 2


def test_windows_of_one_stream_run_in_order_those_of_several_together(
    engine: CudaEngine, network: Counting
) -> None:
    clips = [[flat(60 + 40 * b + 2 * n, n) for n in range(5)] for b in range(2)]
    made = Piling(network).push([Bench(engine) for _ in clips], clips)
    assert [levels(frames) for frames in made] == [
        [60 + 40 * b + 3 * n for n in range(5)] for b in range(2)
    ]
    assert max(network.batches) == 2  # of the 8 that the scheduler gave together
    assert network.batches.count(2) >= 4


def test_windows_of_one_stream_run_together_where_nothing_is_remembered(
    host_device: MakeDevice,
) -> None:
    network = Centre()
    with CudaEngine(centre_model(network, 1), host_device()) as engine:
        clips = [[flat(60 + n, n) for n in range(6)]]
        (made,) = Piling(network).push([Bench(engine)], clips)
    assert levels(made) == [60 + n for n in range(6)]
    assert max(network.batches) == 5


def test_a_chain_ends_at_a_cut_and_at_a_flush(engine: CudaEngine, network: Counting) -> None:
    frames = [flat(60 + 3 * (n > 2), n, discontinuous=n == 3) for n in range(6)]
    bench = Bench(engine)
    (made,) = Piling(network).push([bench], [frames])  # across the cut in one batch
    assert levels(made) == [60, 61, 62, 63, 64, 65]
    assert_same(made, of_cpu(counting_model(Counting()), frames))
    assert levels(bench.run([flat(70, n) for n in range(6, 9)])) == [73, 74, 75]
    assert levels(bench.run([flat(80, n) for n in range(9, 11)])) == [80, 81]


def test_a_chain_ends_where_the_size_changes(engine: CudaEngine, network: Counting) -> None:
    sizes = [(18, 32)] * 3 + [(20, 24)] * 2 + [(18, 32)] * 2
    frames = [flat(60, n, size=size) for n, size in enumerate(sizes)]
    made = Bench(engine).run(frames)
    assert levels(made) == [60, 61, 62, 60, 61, 60, 61]
    assert [frame.height for frame in made] == [36] * 3 + [40] * 2 + [36] * 2
    assert network.chains == 3
    assert_same(made, of_cpu(counting_model(Counting()), frames))


def test_values_that_are_not_finite_end_the_chain_of_their_stream_alone(
    engine: CudaEngine, network: Counting
) -> None:
    bad = [flat(level, n) for n, level in enumerate((60, 60, 220, 60, 60))]
    clips = [bad, [flat(90, n) for n in range(5)]]
    benches = [Bench(engine) for _ in clips]
    made = Piling(network).push(benches, clips)
    assert network.batches.count(2) >= 4
    assert [levels(frames) for frames in made] == [[60, 61, 220, 60, 61], [90, 91, 92, 93, 94]]
    assert_same([made[0][2]], [enlarged(bad[2], 2)])
    assert [bench.meter["failed"] for bench in benches] == [1, 0]
    assert_same(made[0], of_cpu(counting_model(Counting()), bad))


class Raising(Counting):
    """Raises ``error`` of levels of 200 and above."""

    def __init__(self, error: RuntimeError) -> None:
        super().__init__()
        self.error = error

    def advance(self, aligned: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        if aligned.amax() >= 200 * self.level:
            raise self.error
        return super().advance(aligned, memory)


@pytest.mark.parametrize("error", [RuntimeError("unwell"), torch.OutOfMemoryError("full")])
def test_a_window_that_the_network_fails_on_ends_its_chain(
    host_device: MakeDevice, error: RuntimeError
) -> None:
    frames = [flat(level, n) for n, level in enumerate((60, 60, 220, 220, 220, 60, 60))]
    ticks = counted(0.0, 1e6)  # seconds apart: what did not fit is tried again with each window
    clock = partial(next, ticks)
    model = counting_model(Raising(error))
    with CudaEngine(model, host_device(0), max_batch=1, clock=clock) as engine:
        bench = Bench(engine)
        made = bench.run(frames)
    assert levels(made) == [60, 61, 220, 220, 220, 60, 60]  # the window of 220 and 60 fails too
    assert bench.meter["failed"] == 4
    assert_same(made, of_cpu(counting_model(Raising(RuntimeError("unwell"))), frames))


class Hungry(Counting):
    """Has no memory for batches of more than ``most``."""

    most = 8

    def advance(self, aligned: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        if len(aligned) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().advance(aligned, memory)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_full_memory_halves_the_batch_and_loses_no_chain(
    host_device: MakeDevice, most: int
) -> None:
    network, count = Hungry(), 6
    with CudaEngine(
        counting_model(network), host_device(), max_batch=count, max_wait_s=20.0
    ) as engine:
        benches = [Bench(engine) for _ in range(count)]
        for n in range(5):
            network.most = count if n < 2 else most
            now = [60 + (20 + n) * k for k in range(count)]  # each rises by a motion of its own
            futures = [b.stream.push(flat(now[k], n))[0] for k, b in enumerate(benches)]
            assert levels(results(futures)) == [level + n for level in now]
    for bench in benches:
        assert [event.code for event in bench.events] == [Code.MEMORY_SHORT]
    assert network.batches.count(count) == 3  # the capture's, and those before memory was short


FRAME = 18 * 32 * 4  # bytes that a network reads of one; it remembers an output of four times that


def test_a_memory_too_small_for_the_memories_of_a_batch(host_device: MakeDevice) -> None:
    """There is memory for the windows of four streams, and for the outputs of two."""
    device, network = host_device(), Counting()
    with CudaEngine(counting_model(network), device, max_wait_s=20.0, max_batch=4) as engine:
        benches = [Bench(engine) for _ in range(4)]
        device.capacity = 8 * FRAME
        for n in range(3):
            futures = [b.stream.push(flat(60 + 30 * k, n))[0] for k, b in enumerate(benches)]
            assert levels(results(futures)) == [60 + 30 * k + n for k in range(4)]
    assert set(network.batches) == {2}


def test_a_chain_starts_again_where_there_was_no_memory_for_a_window(
    host_device: MakeDevice,
) -> None:
    device, clock = host_device(), Clock()
    with CudaEngine(counting_model(Counting()), device, clock=clock) as engine:
        bench = Bench(engine)
        made = bench.run([flat(60, n) for n in range(2)])
        for height in (8, 10, 12, 14):  # its windows' memory is freed for that of four other sizes
            Bench(engine).run([flat(60, 0, size=(height, 16))])
        device.capacity = FRAME
        made += results(bench.stream.push(flat(60, 2)))
        device.capacity, clock.now_s = 1 << 40, FIRST_S
        made += bench.run([flat(60, n) for n in range(3, 5)])
    assert levels(made) == [60, 61, 60, 60, 61]
    assert bench.meter["failed"] == 1


def test_a_memory_too_small_for_a_stream_is_tried_again(host_device: MakeDevice) -> None:
    class Full(Counting):
        def fresh(self, batch: int, height: int, width: int) -> Memory:
            memory = super().fresh(batch, height, width)
            if self.chains == 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return memory

    clock = Clock()
    with CudaEngine(counting_model(Full()), host_device(), clock=clock) as engine:
        bench = Bench(engine)
        made = results(bench.stream.push(flat(60, 0)))
        clock.now_s = AGAIN_S
        made += bench.run([flat(60, n) for n in range(1, 4)])
    assert levels(made) == [60, 60, 61, 62]
    assert bench.meter["failed"] == 1
    assert "the device's memory is full" in bench.events[0].message


def test_what_a_network_in_half_precision_remembers_stays_whole(host_device: MakeDevice) -> None:
    """Its windows are float16, and hold a level to an eighth at best."""
    network = Counting()
    network.register_parameter("weight", nn.Parameter(torch.ones(1).half(), requires_grad=False))
    read: set[torch.dtype] = set()
    network.register_forward_pre_hook(lambda _, given: read.add(given[0].dtype))
    with CudaEngine(counting_model(network), host_device()) as engine:
        made = Bench(engine).run([flat(60, n) for n in range(100)])
    assert read == {torch.float16}
    assert levels(made) == [60 + n for n in range(100)]
