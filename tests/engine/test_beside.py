"""A stream beside another, as a self-check is, is charged to that one and costs it nothing else."""

import threading
from dataclasses import replace

import pytest
import torch
from streams import Centre, centre_model, flat
from torch import Tensor, nn

from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import StreamRequest
from streamsr.engine.cpu import CpuEngine, cpu_pool
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.host_device import MakeDevice
from streamsr.engine.scheduler import LONG_S
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow

WAIT_S = 30.0


class Slow(nn.Module):
    """Takes long for a level of 60, and waits for another window at a level of 70."""

    def __init__(self) -> None:
        super().__init__()
        self.both = threading.Barrier(2)

    def forward(self, x: Tensor) -> Tensor:
        level = round(float(x.mean()) * 255)
        if level == 60:
            threading.Event().wait(1.5 * LONG_S)
        elif level == 70:
            self.both.wait(2)
        return x[:, 0].repeat_interleave(2, 2).repeat_interleave(2, 3)


def small() -> Frame:
    frame = flat(90, 0)
    luma, *chroma = frame.planes
    return replace(frame, planes=(luma[:8, :8], *(plane[:4, :4] for plane in chroma)))


@pytest.mark.parametrize("beside", [True, False])
def test_no_thread_is_left_to_a_stream_beside_another(beside: bool) -> None:
    model = SlidingWindow(Slow(), Facts(2, 1, 0, Colour.LUMA))
    with cpu_pool(2) as pool:
        engine = CpuEngine(model, torch.device("cpu"), pool)
        stream = engine.stream(StreamRequest("cam", Meter(), lambda event: None))
        check = engine.stream(
            StreamRequest("check", Meter(), lambda event: None, beside=stream if beside else None)
        )
        check.push(small())[0].result(WAIT_S)
        stream.push(flat(60, 0))[0].result(WAIT_S)
        together = [future for n in (1, 2) for future in stream.push(flat(70, n))]
        for future in together:
            future.exception(WAIT_S)
        assert model.network.both.broken != beside, "another camera is left one of the threads"


def test_no_window_waits_for_a_stream_beside_another(host_device: MakeDevice) -> None:
    with CudaEngine(centre_model(Centre(), 1), host_device(), max_wait_s=20.0) as engine:
        stream = engine.stream(StreamRequest("cam", Meter(), lambda event: None))
        check = engine.stream(StreamRequest("check", Meter(), lambda event: None, beside=stream))
        check.push(small())[0].result(5)
        (upscaled,) = stream.push(flat(90, 0))
        assert upscaled.result(5).planes[0][0, 0] == 90
