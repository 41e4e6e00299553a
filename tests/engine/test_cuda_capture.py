"""A capture that fails: for want of memory, or since a network cannot be captured. No GPU here."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from streamsr.engine.cuda.device import CudaDevice
from streamsr.networks.contract import Memory


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    """Without streams, and with captures that end as CUDA's do: with an error after an error."""

    @contextmanager
    def capture(*_: object, **__: object) -> Iterator[None]:
        try:
            yield
        except BaseException:
            raise RuntimeError("CUDA error: operation failed due to a previous error") from None

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr("streamsr.engine.cuda.device.CudaStream", Stream)
    return CudaDevice(torch.device("cuda", 0))


class Stream:
    cuda = None

    def __init__(self, device: torch.device) -> None:
        self.device = device


class Forward:
    """Raises an error in its third run, which is the capture's."""

    def __init__(self, error: RuntimeError) -> None:
        self.error = error
        self.runs = 0

    def __call__(self) -> tuple[Tensor, Memory]:
        self.runs += 1
        if self.runs == 3:
            raise self.error
        return torch.ones(1), ()


def test_a_memory_that_a_capture_fills_is_a_full_memory(
    device: CudaDevice, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(torch.OutOfMemoryError, match="2 GiB"):
        device.graph(Forward(torch.OutOfMemoryError("Tried to allocate 2 GiB")))
    assert caplog.text == ""


def test_what_cannot_be_captured_runs_without_graphs(
    device: CudaDevice, caplog: pytest.LogCaptureFixture
) -> None:
    forward = Forward(RuntimeError("not permitted when stream is capturing"))
    assert device.graph(forward) is forward
    assert caplog.text.count("runs without CUDA graphs") == 1
