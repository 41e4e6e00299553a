"""CUDA's engine where the network or the device fails: resized frames, or a clean end."""

from collections.abc import Callable

import pytest
import torch
from streams import (
    Bench,
    Centre,
    Clock,
    assert_same,
    centre_model,
    enlarged,
    flat,
)
from torch import Tensor

from streamsr.core.events import Code
from streamsr.engine.cuda.capacity import FIRST_S
from streamsr.engine.cuda.engine import AGAIN_S, CudaEngine
from streamsr.engine.cuda.host_device import MakeDevice


class Spoilt(Centre):
    """Makes ``spoil`` of outputs that have a level of 200 or above."""

    def __init__(self, spoil: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.spoil = spoil

    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        for frame in output:
            if frame.amax() >= 200 / 255:
                self.spoil(frame)
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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_not_finite_becomes_bicubic(host_device: MakeDevice, value: float) -> None:
    network = Spoilt(lambda output: output[:, 1, 1].fill_(value).sum())
    frames = [flat(level, n) for n, level in enumerate((90, 91, 220, 93))]
    frames[2].planes[0][4:9, 7:20] = 30
    with CudaEngine(centre_model(network, 1), host_device(0)) as engine:
        bench = Bench(engine)
        made = bench.run(frames)
    assert [int(frame.planes[0][0, 0]) for frame in made] == [90, 91, 220, 93]
    assert_same([made[2]], [enlarged(frames[2], engine.model.facts.scale)])
    assert [(event.code, event.stream) for event in bench.events] == [(Code.SR_FAILED, "cam")]
    assert bench.meter["failed"] == 1


def test_a_frame_that_the_network_fails_on_becomes_bicubic(host_device: MakeDevice) -> None:
    def fail(output: Tensor) -> None:
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
        centre_model(network, 1), host_device(), max_batch=8, max_wait_s=20.0
    ) as engine:
        benches = [Bench(engine) for _ in range(8)]
        futures = [bench.stream.push(flat(60 + n, 0))[0] for n, bench in enumerate(benches)]
        levels = [int(future.result(60).planes[0][0, 0]) for future in futures]
    assert levels == list(range(60, 68))
    assert max(network.batches) <= most
    said = f"at most {1 if most == 1 else 2} windows run as one batch"
    for bench in benches:
        (event,) = bench.events
        assert (event.code, event.stream) == (Code.MEMORY_SHORT, "cam")
        assert event.text == f"the device's memory is full; {said}; more is tried again later"
    assert said in caplog.text


def test_a_memory_too_small_for_one_window_gives_bicubic(host_device: MakeDevice) -> None:
    frames = [flat(90 + n, n) for n in range(5)]
    with CudaEngine(centre_model(Hungry(0)), host_device()) as engine:
        bench = Bench(engine)
        made = bench.run(frames)
    assert_same(made, [enlarged(frame, engine.model.facts.scale) for frame in frames])
    assert bench.meter["failed"] == 5
    assert [event.code for event in bench.events] == [Code.MEMORY_SHORT, *[Code.SR_FAILED] * 5]
    assert bench.events[0].doing == "frames are scaled plainly; more is tried again later"
    assert bench.events[1].message == "the device's memory is full; the frame is scaled plainly"


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


def test_a_short_memory_loses_no_frame_of_the_windows_after(host_device: MakeDevice) -> None:
    network, device, clock = Centre(), host_device(), Clock()
    with CudaEngine(centre_model(network), device, clock=clock) as engine:
        bench = Bench(engine)
        assert bench.stream.push(flat(90, 0)) == []
        device.capacity = WINDOW - 1
        made = [f.result(60) for n in (1, 2) for f in bench.stream.push(flat(90 + n, n))]
        device.capacity, clock.now_s = 1 << 40, FIRST_S
        made += bench.run([flat(90 + n, n) for n in (3, 4)])
    assert [int(frame.planes[0][0, 0]) for frame in made] == [90, 91, 92, 93, 94]
    assert bench.meter["failed"] == 2
    assert (91, 92, 93) in network.levels


def test_a_memory_too_small_for_a_stream_is_tried_again(host_device: MakeDevice) -> None:
    device, clock = host_device(), Clock()
    frames = [flat(90 + n, n) for n in range(8)]
    with CudaEngine(centre_model(Centre()), device, clock=clock) as engine:
        bench = Bench(engine)
        device.capacity = WINDOW - 1
        made = [future.result() for frame in frames[:3] for future in bench.stream.push(frame)]
        device.capacity, clock.now_s = 1 << 40, AGAIN_S / 2
        made += [future.result() for future in bench.stream.push(frames[3])]
        clock.now_s = AGAIN_S
        made += bench.run(frames[4:])
    assert_same(made[:4], [enlarged(frame, engine.model.facts.scale) for frame in frames[:4]])
    assert [int(frame.planes[0][0, 0]) for frame in made] == list(range(90, 98))
    assert bench.meter["failed"] == 4
    assert "the device's memory is full" in bench.events[0].message


def lost(output: Tensor) -> None:
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
