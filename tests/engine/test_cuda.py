"""CUDA's engine on a device of CPU tensors: its pictures are the CPU engine's, whatever overlaps.

Everything but ``CudaDevice`` itself runs here; ``test_cuda_device.py`` runs that on a GPU.
"""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from fractions import Fraction
from random import Random

import numpy as np
import pytest
import torch
from compiled import CompiledKernels
from host_device import HostDevice
from torch import Tensor, nn

from streamsr.engine.cuda import CudaEngine
from streamsr.engine.engines import Engines
from streamsr.engine.plain import scaled_plainly
from streamsr.events import Code, Event
from streamsr.frame import ColourTags, Frame
from streamsr.metrics import Meter
from streamsr.networks.contract import Colour, Facts
from streamsr.networks.edvr import EDVR
from streamsr.networks.fast import Fast
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow

CPU = torch.device("cpu")
TAGS = [ColourTags(6, 6, 6), ColourTags(1, 1, 1, False, 2), ColourTags(1, 1, 1, True)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A convolution in one thread, as the CPU engine has it: else its sums are in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def host_device() -> Iterator[Callable[..., HostDevice]]:
    """``host_device(seed=None)``: its streams overlap by chance where there is a seed."""
    with ExitStack() as stack:

        def make(seed: int | None = None) -> HostDevice:
            device = HostDevice(delays=None if seed is None else Random(seed))
            stack.callback(device.close)
            return device

        yield make


MakeDevice = Callable[..., HostDevice]


def small_edvr() -> SlidingWindow:
    torch.manual_seed(2)
    network = EDVR(
        num_feat=8, num_frame=5, deformable_groups=2, num_extract_block=1, num_reconstruct_block=1
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    network.requires_grad_(False).eval()
    return SlidingWindow(network, Facts(4, 5, 2, Colour.RGB, 4))


def small_fast() -> SlidingWindow:
    torch.manual_seed(1)
    network = Fast(features=8, layers=3, scale=4).requires_grad_(False).eval()
    return SlidingWindow(network, Facts(4, 1, 0, Colour.LUMA))


def bicubic(colour: Colour, scale: int = 2) -> SlidingWindow:
    return SlidingWindow(Resample(scale=scale), Facts(scale, 1, 0, colour))


MODELS: dict[str, Callable[[], SlidingWindow]] = {
    "edvr": small_edvr,
    "fast": small_fast,
    "bicubic-luma": lambda: bicubic(Colour.LUMA),
    "bicubic-rgb": lambda: bicubic(Colour.RGB, 3),
}


class Centre(nn.Module):
    """Gives the centre of each window, every pixel doubled, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[tuple[int, ...]] = []  # of each window's frames, which are flat
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        self.levels += [tuple(w) for w in (x[:, :, 0, 0, 0] * 255).round().int().tolist()]
        centre = x[:, x.shape[1] // 2]
        return centre.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Spoilt(Centre):
    """Makes ``spoil`` of outputs that have a level of 200 or above."""

    def __init__(self, spoil: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.spoil = spoil

    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        for picture in output:
            if picture.amax() >= 200 / 255:
                self.spoil(picture)
        return output


class Hungry(Centre):
    """Has no memory for batches of more than ``most``."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")
        return super().forward(x)


def centre_model(network: nn.Module, window: int = 3) -> SlidingWindow:
    return SlidingWindow(network, Facts(2, window, window // 2, Colour.LUMA))


class Bench:
    """A stream of an engine, and what came of it."""

    def __init__(self, engine: CudaEngine, name: str = "cam") -> None:
        self.meter = Meter()
        self.events: list[Event] = []
        self.stream = engine.stream(name, self.meter, self.events.append)

    def run(self, frames: Sequence[Frame]) -> list[Frame]:
        done: list[Future[Frame]] = []
        for frame in frames:
            done += self.stream.push(frame)
        done += self.stream.flush()
        return [future.result(timeout=60) for future in done]


def flat(level: int, pts: int, *, discontinuous: bool = False) -> Frame:
    chroma = np.full((9, 16), 128, np.uint8)
    planes = (np.full((18, 32), level, np.uint8), chroma, chroma)
    return Frame(planes, ColourTags(1, 1, 1), pts, Fraction(1, 25), 0.0, discontinuous)


def clip(
    frames: int, size: tuple[int, int], tags: ColourTags, *, seed: int = 0, rgb: bool = False
) -> list[Frame]:
    """A texture that drifts: no scene cuts."""
    random = np.random.default_rng(seed)
    height, width = size
    made = []
    shapes = [(height, width, 3)] if rgb else [size, *[(-(-height // 2), -(-width // 2))] * 2]
    textures = [random.integers(0, 256, shape, np.uint8) for shape in shapes]
    for number in range(frames):
        planes = tuple(np.roll(texture, number, 1) for texture in textures)
        made.append(Frame(planes, tags, number, Fraction(1, 25)))
    return made


def of_cpu(model: SlidingWindow, frames: Sequence[Frame]) -> list[Frame]:
    """What the CPU engine makes of a stream."""
    with Engines(CPU) as engines:
        stream = engines.of(model).stream("cam", Meter(), lambda event: None)
        done = [future for frame in frames for future in stream.push(frame)]
        done += stream.flush()
        return [future.result(timeout=60) for future in done]


def assert_same(made: Sequence[Frame], expected: Sequence[Frame], tolerance: int = 0) -> None:
    assert [frame.pts for frame in made] == [frame.pts for frame in expected]
    for one, other in zip(made, expected, strict=True):
        assert one.colour == other.colour
        for plane, wanted in zip(one.planes, other.planes, strict=True):
            assert plane.shape == wanted.shape
            assert np.abs(plane.astype(int) - wanted.astype(int)).max() <= tolerance


@pytest.mark.parametrize("kind", ["limited-601", "centre-709", "full-709", "packed"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("overlapping", [False, True])
def test_pictures_are_the_cpu_engines(
    host_device: MakeDevice, name: str, kind: str, overlapping: bool
) -> None:
    tags = dict(zip(["limited-601", "centre-709", "full-709"], TAGS, strict=True)).get(kind)
    frames = clip(9, (17, 23), tags or ColourTags(0, 1, 13, True), rgb=tags is None)
    model = MODELS[name]()
    device = host_device(7 if overlapping else None)
    with CudaEngine(model, device, max_batch=1) as engine:
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(model, frames))


@pytest.mark.parametrize("name", ["edvr", "fast"])
def test_pictures_by_the_kernels_are_within_a_level(
    compiled: Callable[..., CompiledKernels], name: str
) -> None:
    model, frames = MODELS[name](), clip(5, (11, 14), TAGS[0])
    with CudaEngine(model, HostDevice(launch=compiled()), max_batch=1) as engine:
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(model, frames), tolerance=1)


def test_streams_of_one_size_run_as_batches_and_keep_their_pictures(
    host_device: MakeDevice,
) -> None:
    model = small_edvr()
    clips = [clip(14, (18, 20), TAGS[n % 3], seed=n) for n in range(4)]
    clips.append(clip(14, (22, 16), TAGS[0], seed=9))
    device = host_device(3)
    made: dict[int, list[Frame]] = {}
    with CudaEngine(model, device, slots=3, patience_s=0.02) as engine:
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
        centre_model(network, window=1), host_device(), max_batch=3, patience_s=20.0
    ) as engine:
        benches = [Bench(engine) for _ in range(3)]
        futures = [bench.stream.push(flat(60 + n, 0))[0] for n, bench in enumerate(benches)]
        levels = [int(future.result(60).planes[0][0, 0]) for future in futures]
    assert levels == [60, 61, 62]
    assert set(network.batches) == {3}


def test_a_stream_alone_waits_for_nobody(host_device: MakeDevice) -> None:
    with CudaEngine(centre_model(Centre(), window=1), host_device(), patience_s=600.0) as engine:
        (future,) = Bench(engine).stream.push(flat(60, 0))
        assert future.result(timeout=30).pts == 0


@pytest.mark.parametrize("delays", [None, 5])
def test_breaks_changes_of_size_and_short_streams(
    host_device: MakeDevice, delays: int | None
) -> None:
    """As the CPU engine, window by window: the same breaks, in the same places."""
    random = np.random.default_rng(8)
    frames: list[Frame] = []
    for part in range(12):
        size = [(18, 32), (20, 24), (9, 16)][int(random.integers(3))]
        for frame in clip(int(random.integers(1, 8)), size, TAGS[0], seed=part):
            frames.append(
                Frame(
                    frame.planes,
                    TAGS[0],
                    pts=len(frames) + 100 * (part > 6),  # a gap, once
                    time_base=Fraction(1, 25),
                    discontinuous=bool(random.random() < 0.1),
                )
            )
    model = small_edvr()
    device = host_device(delays)
    with CudaEngine(model, device) as engine:
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(model, frames), tolerance=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_scaled_plainly(host_device: MakeDevice, value: float) -> None:
    network = Spoilt(lambda picture: picture[:, 1, 1].fill_(value).sum())
    frames = [flat(level, n) for n, level in enumerate((90, 91, 220, 93))]
    frames[2].planes[0][4:9, 7:20] = 30
    with CudaEngine(centre_model(network, 1), host_device(0)) as engine:
        bench = Bench(engine)
        made = bench.run(frames)
    assert [int(frame.planes[0][0, 0]) for frame in made] == [90, 91, 220, 93]
    assert_same([made[2]], [scaled_plainly(frames[2], engine.model.facts)])
    assert [(event.code, event.stream) for event in bench.events] == [(Code.SR_FAILED, "cam")]
    assert bench.meter["failed"] == 1


def test_what_the_network_fails_of_is_scaled_plainly(host_device: MakeDevice) -> None:
    def fail(picture: Tensor) -> None:
        raise RuntimeError("cuDNN is unwell\nand says so at length")

    frames = [flat(level, n) for n, level in enumerate((90, 91, 220, 93, 94, 95))]
    network = Spoilt(fail)
    with CudaEngine(centre_model(network), host_device(0), max_batch=1) as engine:
        bench = Bench(engine)
        made = bench.run(frames)
    assert [int(frame.planes[0][0, 0]) for frame in made] == [90, 91, 220, 93, 94, 95]
    (event,) = bench.events
    assert event.code == Code.SR_FAILED
    assert "the network failed: cuDNN is unwell; the frame is scaled plainly" in event.message
    assert (93, 220, 94) not in network.levels
    assert (220, 93, 94) in network.levels  # the ring had the frame all the same


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_full_memory_halves_the_batch(
    host_device: MakeDevice, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    network = Hungry(most)
    with CudaEngine(
        centre_model(network, 1), host_device(), max_batch=8, patience_s=20.0
    ) as engine:
        benches = [Bench(engine) for _ in range(8)]
        futures = [bench.stream.push(flat(60 + n, 0))[0] for n, bench in enumerate(benches)]
        levels = [int(future.result(60).planes[0][0, 0]) for future in futures]
    assert levels == list(range(60, 68))
    assert max(network.batches) <= most
    assert not any(bench.events for bench in benches)
    assert f"at most {1 if most == 1 else 2} windows run as one batch" in caplog.text


def test_a_memory_too_small_for_one_window_scales_plainly(host_device: MakeDevice) -> None:
    frames = [flat(90 + n, n) for n in range(5)]
    with CudaEngine(centre_model(Hungry(0)), host_device()) as engine:
        bench = Bench(engine)
        made = bench.run(frames)
    assert_same(made, [scaled_plainly(frame, engine.model.facts) for frame in frames])
    assert bench.meter["failed"] == 5
    assert "out of memory" in bench.events[0].message


WINDOW = 3 * 18 * 32 * 4  # bytes of a window of 3 frames, and of a stream's ring


@pytest.mark.parametrize(("capacity", "failed"), [(2 * WINDOW, 0), (WINDOW - 1, 5)])
def test_a_memory_too_small_for_the_windows_of_a_batch(
    host_device: MakeDevice, capacity: int, failed: int
) -> None:
    device = host_device()
    with CudaEngine(centre_model(Centre()), device) as engine:
        bench = Bench(engine)
        assert bench.stream.push(flat(90, 0)) == []
        device.capacity = capacity
        made = bench.run([flat(90 + n, n) for n in range(1, 5)])
    assert [int(frame.planes[0][0, 0]) for frame in made] == [90, 91, 92, 93, 94]
    assert bench.meter["failed"] == failed


def test_a_memory_too_small_for_a_stream_is_tried_again(host_device: MakeDevice) -> None:
    device = host_device()
    frames = [flat(90 + n, n) for n in range(8)]
    with CudaEngine(centre_model(Centre()), device) as engine:
        bench = Bench(engine)
        device.capacity = WINDOW - 1
        made = [future.result() for frame in frames[:3] for future in bench.stream.push(frame)]
        device.capacity = 1 << 40
        made += bench.run(frames[3:])
    assert_same(made[:3], [scaled_plainly(frame, engine.model.facts) for frame in frames[:3]])
    assert [int(frame.planes[0][0, 0]) for frame in made] == list(range(90, 98))
    assert bench.meter["failed"] == 3
    assert "the device's memory is full" in bench.events[0].message


def lost(picture: Tensor) -> None:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("delays", [None, 0])
def test_a_lost_device_ends_every_stream(host_device: MakeDevice, delays: int | None) -> None:
    """Nothing but a new process helps: the worker must end, and it does by these errors."""
    device = host_device(delays)
    with CudaEngine(centre_model(Spoilt(lost), 1), device, slots=2) as engine:
        stream = Bench(engine).stream
        (future,) = stream.push(flat(220, 0))
        with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
            future.result(timeout=60)
        other = Bench(engine)
        with pytest.raises(RuntimeError, match="the device failed: CUDA error"):
            other.run([flat(90, number) for number in range(9)])


def test_pushing_blocks_while_all_slots_are_under_way(host_device: MakeDevice) -> None:
    go = threading.Event()

    def hold(picture: Tensor) -> None:
        assert go.wait(60)

    device = host_device(0)
    pushed: list[int] = []
    futures: list[Future[Frame]] = []
    with CudaEngine(centre_model(Spoilt(hold), 1), device, slots=3) as engine:
        stream = Bench(engine).stream
        blocked = threading.Event()

        def push() -> None:
            for number in range(8):
                if number == 3:
                    blocked.set()
                futures.extend(stream.push(flat(220, number)))
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


def test_nothing_is_allocated_for_a_frame_and_one_thread_waits(host_device: MakeDevice) -> None:
    device = host_device(1)
    with CudaEngine(small_edvr(), device, max_batch=1) as engine:
        bench = Bench(engine)
        for frame in clip(6, (16, 16), TAGS[0]):
            bench.stream.push(frame)
        bench.run([])
        before, graphs = device.allocations, device.graphs
        bench.run(clip(30, (16, 16), TAGS[0]))
        assert (device.allocations, device.graphs) == (before, graphs)
    assert device.waited == {"streamsr-engine-finisher"}


def test_the_memory_of_an_old_size_goes(host_device: MakeDevice) -> None:
    device = host_device(1)
    with CudaEngine(small_fast(), device) as engine:
        bench = Bench(engine)
        bench.run(clip(3, (16, 16), TAGS[0]))
        track = weakref.ref(bench.stream._track)  # type: ignore[arg-type]
        for size in range(17, 27):  # more shapes than are kept
            made = bench.run(clip(3, (size, 16), TAGS[0]))
            assert made[-1].height == 4 * size
        gc.collect()
        assert track() is None
        assert len(engine._compute._replays) == 4


def test_closing_finishes_what_was_submitted(host_device: MakeDevice) -> None:
    engine = CudaEngine(centre_model(Centre()), host_device(2))
    stream = Bench(engine).stream
    futures = [future for n in range(6) for future in stream.push(flat(60 + n, n))]
    engine.close()
    engine.close()
    assert [future.done() for future in futures] == [True] * 5
    with pytest.raises(RuntimeError, match="the engine is closed"):
        stream.flush()
    assert not [t for t in threading.enumerate() if t.name.startswith("streamsr-engine")]


def test_half_precision_stays_within_a_level(host_device: MakeDevice) -> None:
    network = small_fast().network
    model = SlidingWindow(network.half(), Facts(4, 1, 0, Colour.LUMA))
    frames = clip(3, (18, 24), TAGS[0])
    with CudaEngine(model, host_device()) as engine:
        assert engine._compute.pixels == torch.float16
        made = Bench(engine).run(frames)
    assert_same(made, of_cpu(small_fast(), frames), tolerance=1)
