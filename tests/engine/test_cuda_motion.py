"""Motion for CUDA's engine: found on the host, of the pixels that the device reads."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from streams import (
    MODELS,
    TAGS,
    Bench,
    assert_same,
    clip,
    small_edvr,
    small_recurrent,
)
from test_kernels import noise, packed, read

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.colour import TorchConverter, luma_plane, network_input, network_output
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.host_device import HostDevice, MakeDevice
from streamsr.engine.cuda.motion import MotionFinder
from streamsr.engine.cuda.track import DeviceTrack, Layout
from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.facts import Colour
from streamsr.networks.flow import Flow, Search, planes_of
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.sliding import SlidingWindow

RGB = ColourTags(0, 1, 13, True)
MEMBERS = [(4, 1, 1), (3, 1, 1), (2, 2, 2), (1, 4, 8)]  # scale, fold, multiple
SIZES = [(17, 23), (40, 64), (1, 2)]


class Watched(Recurrent):
    """Keeps what it is asked the motion of, and by which threads."""

    def __init__(self, fold: int = 1) -> None:
        super().__init__(features=4, layers=2, kept=2, scale=2, fold=fold)
        self.requires_grad_(False)
        self.pairs: list[tuple[Plane, Plane]] = []  # the frame and the one before it
        self.threads: set[str] = set()

    def motion_of_planes(self, frame: Plane, before: Plane) -> Flow:
        self.pairs.append((frame.copy(), before.copy()))
        self.threads.add(threading.current_thread().name)
        return super().motion_of_planes(frame, before)


def drifting(count: int, size: tuple[int, int], tags: ColourTags) -> list[Frame]:
    """Coarse texture that moves by a pixel a frame, which can be followed and is never a cut."""
    height, width = size
    random = np.random.default_rng(4)
    cells = random.integers(100, 130, (-(-height // 4), width // 4 + count))
    levels = np.kron(cells, np.ones((4, 4))).astype(np.uint8)[:height]
    frames = clip(count, size, tags, rgb=tags is RGB)
    made = []
    for number, frame in enumerate(frames):
        luma = np.ascontiguousarray(levels[:, number : number + width])
        first = np.stack([luma] * 3, 2) if frame.is_rgb else luma
        made.append(replace(frame, planes=(first, *frame.planes[1:])))
    return made


def direct(model: SlidingWindow, frames: Sequence[Frame]) -> list[Frame]:
    """What the network itself makes of one chain of frames, a window at a time."""
    network, facts = model.network, model.facts
    assert isinstance(network, RecurrentNetwork)
    made, before, memory = [], None, None
    with torch.inference_mode():
        for frame in frames:
            pixels = network_input(frame, Colour.LUMA)
            down, across = (-side % facts.multiple for side in pixels.shape[1:])
            pixels = F.pad(pixels, (0, across, 0, down), mode="replicate")
            window = torch.stack((pixels if before is None else before, pixels))[None]
            memory = memory or network.fresh(1, *pixels.shape[1:])
            output, memory = network(window, memory)
            before = pixels
            output = output[0, :, : frame.height * facts.scale, : frame.width * facts.scale]
            planes = network_output(output, frame, Colour.LUMA)
            made.append(replace(frame, planes=planes))
    return made


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A convolution in one thread: else its sums are in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("tags", [*TAGS, RGB], ids=["limited-601", "709", "full-709", "packed"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("scale", "fold", "multiple"), MEMBERS)
def test_frames_are_those_of_the_network_itself(
    host_device: MakeDevice,
    scale: int,
    fold: int,
    multiple: int,
    size: tuple[int, int],
    tags: ColourTags,
) -> None:
    model, frames = small_recurrent(scale, fold, multiple), drifting(6, size, tags)
    with CudaEngine(model, host_device(3), max_batch=1) as engine:
        made = Bench(engine).run(frames)
    for frame, wanted in zip(made, direct(model, frames), strict=True):
        apart = np.abs(frame.planes[0].astype(int) - wanted.planes[0])  # the rest is resized
        assert apart.max() <= (tags is RGB)  # which a CPU has a way of its own for


def test_frames_depend_on_the_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above could pass without any."""
    frames = drifting(6, (40, 64), TAGS[0])
    for scale, fold, multiple in MEMBERS:
        model = small_recurrent(scale, fold, multiple)
        with monkeypatch.context() as patch:
            known = direct(model, frames)
            patch.setattr("streamsr.networks.contract.flow_of_planes", _still)
            still = direct(model, frames)
        apart = known[-1].planes[0].astype(int) - still[-1].planes[0]
        assert np.abs(apart).max() > 2


def _still(frame: Plane, other: Plane, fold: int, search: Search) -> Flow:
    height, width = frame.shape
    return np.zeros((height // fold, width // fold, 2), np.float32)


def test_chains_that_end_and_streams_together_are_those_of_the_network(
    host_device: MakeDevice,
) -> None:
    """Two streams in batches, cut at frames of their own: a frame after a cut is still."""
    model = small_recurrent(2, 2, 2)
    clips = [drifting(9, (22, 30), tags) for tags in (TAGS[0], TAGS[2])]
    cuts = [[4], [2, 7]]
    for frames, at in zip(clips, cuts, strict=True):
        for number in at:
            frames[number] = replace(frames[number], discontinuous=True)
    batches: list[int] = []
    model.network.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
    with CudaEngine(model, host_device(5), max_wait_s=0.05) as engine:
        benches = [Bench(engine) for _ in clips]
        futures = [
            [bench.stream.push(frame)[0] for bench, frame in zip(benches, together, strict=True)]
            for together in zip(*clips, strict=True)
        ]
        made = [[future.result(60) for future in stream] for stream in zip(*futures, strict=True)]
    assert 2 in batches
    for upscaled, frames, at in zip(made, clips, cuts, strict=True):
        ends = [0, *at, len(frames)]
        chains = [frames[first:end] for first, end in pairwise(ends)]
        expected = [frame for chain in chains for frame in direct(model, chain)]
        assert_same(upscaled, expected, tolerance=1)  # sums in another order


def test_the_thread_that_pushes_finds_it_and_nothing_else_does(
    host_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("the device was asked for its pixels")

    monkeypatch.setattr(RecurrentNetwork, "motion", fetched)
    network = Watched()
    model = SlidingWindow(network, replace(small_recurrent().facts, scale=2))
    frames = drifting(5, (17, 23), TAGS[0])
    frames[3] = replace(frames[3], discontinuous=True)
    with CudaEngine(model, host_device(1)) as engine:
        bench = Bench(engine)
        bench.run(frames)
        bench.run([replace(frame, pts=frame.pts + 5) for frame in frames[:2]])
    assert network.threads == {threading.current_thread().name}
    assert bench.meter["failed"] == 0
    numbers = [[_index(frames, plane) for plane in pair] for pair in network.pairs]
    assert numbers == [[0, 0], [1, 0], [2, 1], [3, 3], [4, 3], [0, 0], [1, 0]]


def _index(frames: list[Frame], plane: Plane) -> int:
    (number,) = (n for n, frame in enumerate(frames) if np.array_equal(frame.planes[0], plane))
    return number


@pytest.mark.parametrize("multiple", [1, 2, 8])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("tags", [*TAGS, RGB], ids=["limited-601", "709", "full-709", "packed"])
def test_its_planes_are_what_the_device_reads(
    tags: ColourTags, size: tuple[int, int], multiple: int
) -> None:
    network = Watched(1 if multiple == 1 else 2)
    frames = [packed(size)] if tags is RGB else [noise(size, tags, seed) for seed in range(3)]
    finder = MotionFinder(network, Layout.of(frames[0]).padded(multiple))
    converter = TorchConverter(Colour.LUMA)
    for number, frame in enumerate(frames):
        assert finder.of(frame, starts_chain=not number).shape == finder.shape
        wanted = planes_of(read(converter, frame, Colour.LUMA, multiple))[0]
        np.testing.assert_array_equal(network.pairs[number][0], wanted)
        assert wanted.shape == Layout.of(frame).padded(multiple)
    for pair, other in zip(network.pairs[1:], network.pairs, strict=False):
        np.testing.assert_array_equal(pair[1], other[0])


def test_a_decoders_plane_is_taken_as_it_is() -> None:
    frame = noise((18, 32), TAGS[0])
    assert luma_plane(frame) is frame.planes[0]
    wide = np.zeros((18, 64), np.uint8)
    wide[:, :32] = frame.planes[0]
    network = Watched()
    finder = MotionFinder(network, (18, 32))
    padded = replace(frame, planes=(wide[:, :32], *frame.planes[1:]))
    assert not finder.of(padded, starts_chain=True).any()
    assert not finder.of(frame, starts_chain=False).any()


def test_a_network_that_is_not_recurrent_has_none() -> None:
    """Nothing is looked for, and nothing is uploaded for it."""
    frame = noise((18, 32), TAGS[2])
    finder = MotionFinder(small_edvr().network, (20, 32))
    assert finder.shape == finder.of(frame, starts_chain=False).shape == (0, 0, 2)
    device = HostDevice()
    track = DeviceTrack(device, Layout.of(frame), MODELS["fast"](), torch.float32, 2)
    (slot, _) = track.memory
    assert slot.source[0].untyped_storage().nbytes() == Layout.of(frame).bytes
