"""CUDA's engine on a device of CPU tensors: its frames are the CPU engine's, whatever overlaps.

Everything but ``CudaDevice`` itself runs here; ``test_cuda_device.py`` runs that on a GPU.
"""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from fractions import Fraction
from time import monotonic

import numpy as np
import pytest
import torch
from compiled import CompiledKernels
from streams import (
    MODELS,
    TAGS,
    Bench,
    Centre,
    Counting,
    assert_same,
    centre_model,
    clip,
    counting_model,
    flat,
    of_cpu,
    small_fast,
)

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.host_device import HostDevice, MakeDevice
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A convolution in one thread, as the CPU engine has it: else its sums are in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("kind", ["limited-601", "centre-709", "full-709", "packed"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("overlapping", [False, True])
def test_frames_are_the_cpu_engines(
    host_device: MakeDevice, name: str, kind: str, overlapping: bool
) -> None:
    tags = dict(zip(["limited-601", "centre-709", "full-709"], TAGS, strict=True)).get(kind)
    frames = clip(9, (17, 23), tags or ColourTags(0, 1, 13, True), rgb=tags is None)
    model = MODELS[name]()
    device = host_device(7 if overlapping else None)
    with CudaEngine(model, device, max_batch=1) as engine:
        made = Bench(engine).run(frames)
    tolerance = 1 if kind == "packed" else 0  # a CPU has a way of its own, with other sums
    assert_same(made, of_cpu(model, frames), tolerance)


def test_frames_of_ten_bits_are_upscaled_in_eight(host_device: MakeDevice) -> None:
    flat_frames = clip(4, (17, 23), TAGS[0])
    deep = [
        replace(frame, planes=tuple(p.astype(np.uint16) * 4 for p in frame.planes), depth=10)
        for frame in flat_frames
    ]
    model = small_fast()
    with CudaEngine(model, host_device(None), max_batch=1) as engine:
        made = Bench(engine).run(deep)
    assert {frame.depth for frame in made} == {8}
    assert_same(made, of_cpu(model, flat_frames))


@pytest.mark.parametrize("name", ["edvr", "fast"])
def test_frames_by_the_kernels_are_within_a_level(
    compiled: Callable[..., CompiledKernels], name: str
) -> None:
    model, frames = MODELS[name](), clip(5, (11, 14), TAGS[0])
    with CudaEngine(model, HostDevice(launch=compiled()), max_batch=1) as engine:
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(model, frames), tolerance=1)


@pytest.mark.parametrize("name", ["edvr", "recurrent"])
def test_streams_of_one_size_run_as_batches_and_keep_their_frames(
    host_device: MakeDevice, name: str
) -> None:
    model = MODELS[name]()
    clips = [clip(10, (18, 20), TAGS[n % 3], seed=n) for n in range(4)]
    clips.append(clip(10, (22, 16), TAGS[0], seed=9))
    device = host_device(3)
    made: dict[int, list[Frame]] = {}
    with CudaEngine(model, device, slots=3, max_wait_s=0.02) as engine:
        benches = [Bench(engine, f"cam{n}") for n in range(len(clips))]

        def run(number: int) -> None:
            made[number] = benches[number].run(clips[number])

        threads = [threading.Thread(target=run, args=(n,)) for n in range(len(clips))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for number, frames in enumerate(clips):
        assert_same(made[number], of_cpu(model, frames), tolerance=1)  # sums in another order
        assert benches[number].events == []


def test_several_streams_make_one_batch(host_device: MakeDevice) -> None:
    network = Centre()
    with CudaEngine(
        centre_model(network, window=1), host_device(), max_batch=3, max_wait_s=20.0
    ) as engine:
        benches = [Bench(engine) for _ in range(3)]
        futures = [bench.stream.push(flat(60 + n, 0))[0] for n, bench in enumerate(benches)]
        levels = [int(future.result(60).planes[0][0, 0]) for future in futures]
    assert levels == [60, 61, 62]
    assert set(network.batches) == {3}


def test_a_stream_alone_waits_for_no_other(host_device: MakeDevice) -> None:
    with CudaEngine(centre_model(Centre(), window=1), host_device(), max_wait_s=600.0) as engine:
        (future,) = Bench(engine).stream.push(flat(60, 0))
        assert future.result(timeout=30).pts == 0


@pytest.mark.parametrize("delays", [None, 5])
@pytest.mark.parametrize("name", ["edvr", "recurrent"])
def test_discontinuities_changes_of_size_and_short_streams(
    host_device: MakeDevice, name: str, delays: int | None
) -> None:
    """As the CPU engine, window by window: the same discontinuities, in the same places."""
    random = np.random.default_rng(8)
    frames: list[Frame] = []
    for part in range(8):
        size = [(18, 32), (20, 24), (9, 16)][int(random.integers(3))]
        for frame in clip(int(random.integers(1, 8)), size, TAGS[0], seed=part):
            frames.append(
                Frame(
                    frame.planes,
                    TAGS[0],
                    pts=len(frames) + 100 * (part > 4),  # a gap, once
                    time_base=Fraction(1, 25),
                    discontinuous=bool(random.random() < 0.1),
                )
            )
    model = MODELS[name]()
    device = host_device(delays)
    with CudaEngine(model, device) as engine:
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(model, frames), tolerance=1)


def test_the_lanes_overlap() -> None:
    """Three lanes that take 10 ms each for a frame: one after the other, they would take 30."""
    device, frames = HostDevice(delay_s=lambda: 0.01), 60
    with CudaEngine(centre_model(Centre(), 1), device, max_batch=1) as engine:
        bench = Bench(engine)
        bench.run([flat(60, 0)])
        started = monotonic()
        bench.run([flat(60, n) for n in range(1, 1 + frames)])
        spent = monotonic() - started
    device.close()
    assert spent < frames * 0.02  # 0.01 at best; the machine may be busy


@pytest.mark.parametrize("model", [centre_model(Centre(), 1), counting_model(Counting())])
def test_pushing_blocks_while_all_slots_are_in_flight(
    host_device: MakeDevice, model: SlidingWindow
) -> None:
    go = threading.Event()

    def hold(*_: object) -> None:
        assert go.wait(60)

    model.network.register_forward_pre_hook(hold)
    device = host_device(0)
    pushed: list[int] = []
    futures: list[Future[Frame]] = []
    with CudaEngine(model, device, slots=3) as engine:
        stream = Bench(engine).stream
        blocked = threading.Event()

        def push() -> None:
            for number in range(8):
                if number == 3:
                    blocked.set()
                futures.extend(stream.push(flat(120, number)))
                pushed.append(number)

        thread = threading.Thread(target=push)
        thread.start()
        assert blocked.wait(60)
        thread.join(0.05)
        assert pushed == [0, 1, 2]
        go.set()
        thread.join(60)
        assert [future.result(60).pts for future in futures] == list(range(8))


def test_a_frame_kept_does_not_keep_its_slot(host_device: MakeDevice) -> None:
    frames = [flat(60 + n, n) for n in range(40)]
    with CudaEngine(centre_model(Centre(), 1), host_device(), slots=2) as engine:
        kept = Bench(engine).run(frames)
    assert [int(frame.planes[0][0, 0]) for frame in kept] == [60 + n for n in range(40)]


@pytest.mark.parametrize("name", ["edvr", "recurrent"])
def test_nothing_is_allocated_for_a_frame_and_one_thread_waits(
    host_device: MakeDevice, name: str
) -> None:
    device = host_device(1)
    with CudaEngine(MODELS[name](), device, max_batch=1) as engine:
        bench = Bench(engine)
        bench.run(clip(6, (16, 16), TAGS[0]))
        before, graphs = device.allocations, device.graphs
        bench.run(clip(30, (16, 16), TAGS[0]))
        assert (device.allocations, device.graphs) == (before, graphs)
    assert device.waited == {"streamsr-engine-finisher"}


def test_the_memory_of_an_old_size_is_freed(host_device: MakeDevice) -> None:
    device, in_use = host_device(1), []
    with CudaEngine(small_fast(), device) as engine:
        bench = Bench(engine)
        for size in range(16, 26):  # more shapes than are kept
            made = bench.run(clip(3, (size, 16), TAGS[0]))
            assert made[-1].height == 4 * size
            gc.collect()
            in_use.append(device.in_use)
    assert max(in_use[5:]) <= in_use[4]


def test_the_memory_of_a_stream_that_is_gone_is_freed(host_device: MakeDevice) -> None:
    device, in_use = host_device(1), []
    with CudaEngine(small_fast(), device) as engine:
        for _ in range(4):
            Bench(engine).run(clip(3, (16, 16), TAGS[0]))
            gc.collect()
            in_use.append(device.bytes_in_use)
    assert in_use[1:] == in_use[:-1]


def test_closing_finishes_what_was_submitted(host_device: MakeDevice) -> None:
    before = set(threading.enumerate())
    engine = CudaEngine(centre_model(Centre()), host_device(2))
    stream = Bench(engine).stream
    futures = [future for n in range(6) for future in stream.push(flat(60 + n, n))]
    engine.close()
    engine.close()
    assert [future.done() for future in futures] == [True] * 5
    with pytest.raises(RuntimeError, match="the engine is closed"):
        stream.flush()
    begun = set(threading.enumerate()) - before
    assert not [thread for thread in begun if thread.name.startswith("streamsr-engine")]


def test_half_precision_stays_within_a_level(host_device: MakeDevice) -> None:
    network = small_fast().network
    model = SlidingWindow(network.half(), Facts(4, 1, 0, Colour.LUMA))
    frames = clip(3, (18, 24), TAGS[0])
    read: set[torch.dtype] = set()
    network.register_forward_pre_hook(lambda _, windows: read.add(windows[0].dtype))
    with CudaEngine(model, host_device()) as engine:
        made = Bench(engine).run(frames)
    assert read == {torch.float16}
    assert_same(made, of_cpu(small_fast(), frames), tolerance=1)
