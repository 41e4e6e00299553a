"""A device whose memory is full at any moment: every frame comes out once, in order."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from streams import MODELS, TAGS, Bench, Clock, clip, enlarged, of_cpu, small_edvr
from torch import Tensor, nn

from streamsr.core.events import Code
from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.colour import Converter, Planes
from streamsr.engine.cuda.capacity import MOST_S
from streamsr.engine.cuda.device import DeviceStream, Forward
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.host_device import HostDevice
from streamsr.networks.contract import Memory, Rows, StreamingNetwork
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow

FRAMES = 10
TRIED = 12  # moments, spread over all that there are
SIZE = (17, 23)


class Short(HostDevice):
    """Is short of memory from one moment on, for so many: whenever anything may ask for some."""

    def __init__(self, first: int = 1 << 30, moments: int = 0) -> None:
        super().__init__()
        self._short = range(first, first + moments)
        self.moments = 0

    def ask(self) -> None:
        self.moments += 1
        if self.moments - 1 in self._short:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        self.ask()
        return super().empty(shape, dtype)

    def graph(self, forward: Forward) -> Forward:
        """One that was not captured asks for memory each time."""

        def asking() -> tuple[Tensor, Memory]:
            self.ask()
            return forward()

        return super().graph(asking)

    def converter(self, stream: DeviceStream, colour: Colour, pixels: torch.dtype) -> Converter:
        return Asking(super().converter(stream, colour, pixels), self.ask)


class Asking:
    def __init__(self, converter: Converter, ask: Callable[[], None]) -> None:
        self._converter, self._ask = converter, ask

    def read(self, planes: Planes, tags: ColourTags, out: Tensor) -> None:
        self._ask()
        self._converter.read(planes, tags, out)

    def write(
        self, output: Tensor, source: Planes, tags: ColourTags, out: Planes, bad: Tensor
    ) -> None:
        self._ask()
        self._converter.write(output, source, tags, out, bad)


def same(one: Frame, other: Frame) -> bool:
    pairs = zip(one.planes, other.planes, strict=True)
    return all(np.abs(a.astype(int) - b.astype(int)).max() <= 1 for a, b in pairs)


def run(name: str, device: Short, frames: Sequence[Frame]) -> tuple[list[Frame], Bench]:
    """Ten minutes between any two frames."""
    clock = Clock()
    with CudaEngine(MODELS[name](), device, clock=clock) as engine:
        bench = Bench(engine)
        made: list[Frame] = []
        for frame in frames:
            clock.now_s += MOST_S
            made += [future.result(60) for future in bench.stream.push(frame)]
        made += [future.result(60) for future in bench.stream.flush()]
    return made, bench


@pytest.mark.parametrize("name", ["edvr", "fast", "recurrent", "bicubic-luma"])
@pytest.mark.parametrize("moments", [1, 3, 40])
def test_nothing_is_lost_whenever_the_memory_is_full(name: str, moments: int) -> None:
    frames = clip(FRAMES, SIZE, TAGS[0])
    expected = of_cpu(MODELS[name](), frames)
    scale = expected[0].height // frames[0].height
    plain = [enlarged(frame, scale) for frame in frames]
    whole = Short()
    run(name, whole, frames)
    failed_at = set()
    for first in range(0, whole.moments, max(1, whole.moments // TRIED)):
        made, bench = run(name, Short(first, moments), frames)
        assert [frame.pts for frame in made] == [frame.pts for frame in frames]
        scaled = [same(one, by_filter) for one, by_filter in zip(made, plain, strict=True)]
        if name == "edvr":  # which has no memory that a failure would end
            right = [same(one, wanted) for one, wanted in zip(made, expected, strict=True)]
            assert all(a or b for a, b in zip(right, scaled, strict=True))
            assert right.count(False) <= bench.meter["failed"]
        codes = [event.code for event in bench.events]
        assert codes.count(Code.SR_FAILED) == bench.meter["failed"]
        assert set(codes) <= {Code.SR_FAILED, Code.MEMORY_SHORT, Code.MEMORY_ENOUGH}
        if bench.meter["failed"]:
            failed_at.add(first)
        if moments == 1:
            assert bench.meter["failed"] <= MODELS[name]().facts.window
        if Code.MEMORY_SHORT in codes and moments < 40 and first < whole.moments // 2:
            assert [c for c in codes if c != Code.SR_FAILED][-1] == Code.MEMORY_ENOUGH
    assert moments == 1 or failed_at  # so that a short memory does show


def test_the_ring_goes_first_and_comes_back() -> None:
    """Memory for whole windows, and not for what is kept between them."""
    clock, device = Clock(), HostDevice()
    frames = clip(FRAMES, SIZE, TAGS[0])
    with CudaEngine(small_edvr(), device, clock=clock, max_batch=1) as engine:
        bench = Bench(engine)
        device.capacity = 5 * 3 * 20 * 24 * 4  # bytes of a window: 8 features of 5 are more
        made = [f.result(60) for frame in frames[:8] for f in bench.stream.push(frame)]
        assert [event.code for event in bench.events] == [Code.MEMORY_SHORT]
        assert "nothing is kept between them" in bench.events[0].doing
        device.capacity, clock.now_s = 1 << 40, MOST_S
        made += bench.run(frames[8:])
    assert [event.code for event in bench.events] == [Code.MEMORY_SHORT, Code.MEMORY_ENOUGH]
    assert bench.meter["failed"] == 0
    for one, wanted in zip(made, of_cpu(small_edvr(), frames), strict=True):
        assert same(one, wanted)


class Wide(StreamingNetwork):
    """The mean of a window's frames, spread over neighbours and doubled; has memory for so many
    pixels at once."""

    most = 1 << 30
    centre = 1
    reach = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.restore(x.unbind(1), x[:, 1])

    def features(self, frames: Tensor) -> Rows:
        return (frames + 0,)

    def reference(self, features: Rows) -> Rows:
        return features

    def align(self, frames: Rows, references: Rows) -> Tensor:
        return frames[0] + 0

    def restore(self, aligned: Sequence[Tensor], pixels: Tensor) -> Tensor:
        if pixels.shape[-1] * pixels.shape[-2] * len(pixels) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        mean = torch.stack(list(aligned)).mean(0)
        spread = nn.functional.avg_pool2d(mean, 5, 1, 2)
        return spread.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("most", "tiles"), [(1700, 2), (1000, 4), (700, 8)])
@pytest.mark.parametrize("size", [(40, 64), (37, 61)])
def test_tiles_are_the_whole_frame(size: tuple[int, int], most: int, tiles: int) -> None:
    network, clock = Wide(), Clock()
    model = SlidingWindow(network, Facts(2, 3, 1, Colour.RGB, 4))
    frames = clip(12, size, TAGS[1])
    expected = of_cpu(model, frames)
    with CudaEngine(model, HostDevice(), clock=clock, max_batch=1) as engine:
        bench = Bench(engine)
        network.most = most
        made = [f.result(60) for frame in frames[:6] for f in bench.stream.push(frame)]
        assert [event.code for event in bench.events] == [Code.MEMORY_SHORT]
        assert bench.events[0].doing.startswith(f"frames are upscaled in {tiles} tiles")
        network.most = 1 << 30
        for frame in frames[6:]:
            clock.now_s += MOST_S
            made += [f.result(60) for f in bench.stream.push(frame)]
        made += [f.result(60) for f in bench.stream.flush()]
    assert bench.meter["failed"] == 0
    assert all(same(one, wanted) for one, wanted in zip(made, expected, strict=True))
    assert len(bench.events) > 1
    assert bench.events[-1].code == Code.MEMORY_ENOUGH
