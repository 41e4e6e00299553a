"""Where the checks run: a CUDA device, or CPU tensors that stand in for one, small."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any, Protocol

import torch

from benchmarks.cuda_suite.plan import Verdict
from streamsr.engine.cuda.device import CudaDevice, CudaStream, Device, DeviceStream
from streamsr.engine.cuda.host_device import HostDevice
from streamsr.networks.sliding import SlidingWindow

__all__ = [
    "PLACES",
    "CudaPlace",
    "HostPlace",
    "Outcome",
    "Place",
    "Sizes",
    "passed",
    "rate_of",
]

MIB = 1 << 20
HOST_DELAY_S = 0.0005  # before each piece of work, at most


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check gives: ``verdict`` is "not judged" for a bar of speed without a device."""

    verdict: Verdict
    got: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large and how long the checks are. Frames are (height, width)."""

    frame: tuple[int, int]  # of a camera
    odd: tuple[int, int]  # which no network's multiple divides
    truth: tuple[int, int]  # width and height of what was shrunk to a quarter
    edvr: dict[str, Any]  # options of an EDVR
    compared: int  # frames that the CPU makes too
    timed: int  # by which a rate is measured
    many: int  # over which memory must be flat
    matrix: int  # side of the product that is the device's limit


def passed(well: bool) -> Verdict:
    return "passed" if well else "failed"


class Place(Protocol):
    """A device to check, and what to check it with."""

    sizes: Sizes
    is_device: bool
    torch_device: torch.device

    @property
    def machine(self) -> str:
        """What it is, in words."""

    def device(self, *, graphs: bool = True) -> Device: ...

    def used_mib(self, device: Device) -> float:
        """Memory of the device in use, by anybody."""

    def need_mib(self, device: Device) -> float:
        """What this process has needed of the device so far, as ``bounded`` counts it."""

    def bounded(self, device: Device, mib: float) -> None:
        """Lets this process have so much of the device's memory at most; 0 for all there is."""

    def captured(
        self, device: Device, stream: DeviceStream, work: Callable[[], None]
    ) -> Callable[[], None]:
        """Returns what launches ``work`` in the stream as a graph."""

    def quick(self, model: SlidingWindow) -> SlidingWindow:
        """The model in the precision that it is quick in here."""

    def judged(self, well: bool) -> Verdict:
        """A verdict on speed, which a host has no say in."""


class CudaPlace:
    sizes = Sizes((360, 640), (181, 317), (320, 180), {}, 12, 400, 5000, 8192)
    is_device = True
    torch_device = torch.device("cuda", 0)

    @property
    def machine(self) -> str:
        name = torch.cuda.get_device_name(self.torch_device)
        return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}"

    def device(self, *, graphs: bool = True) -> Device:
        return CudaDevice(self.torch_device, graphs=graphs)

    def used_mib(self, device: Device) -> float:
        free, total = torch.cuda.mem_get_info(self.torch_device)
        return round((total - free) / MIB, 1)

    def need_mib(self, device: Device) -> float:
        return torch.cuda.max_memory_reserved(self.torch_device) / MIB

    def bounded(self, device: Device, mib: float) -> None:
        _, total = torch.cuda.mem_get_info(self.torch_device)
        torch.cuda.empty_cache()
        share = mib * MIB / total if mib else 1.0
        torch.cuda.set_per_process_memory_fraction(share, self.torch_device)

    def captured(
        self, device: Device, stream: DeviceStream, work: Callable[[], None]
    ) -> Callable[[], None]:
        assert isinstance(stream, CudaStream)
        for _ in range(2):
            stream.launch(work)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream.cuda):  # which the kernels are launched in
            work()
        return lambda: stream.launch(graph.replay)

    def quick(self, model: SlidingWindow) -> SlidingWindow:
        return SlidingWindow(model.network.half(), model.facts, "float16")

    def judged(self, well: bool) -> Verdict:
        return passed(well)


class HostPlace:
    sizes = Sizes(
        (24, 40),
        (19, 23),
        (96, 64),
        {
            "num_feat": 8,
            "deformable_groups": 2,
            "num_extract_block": 1,
            "num_reconstruct_block": 1,
        },
        6,
        16,
        100,
        768,
    )
    is_device = False
    torch_device = torch.device("cpu")

    def __init__(self) -> None:
        torch.set_num_threads(1)  # its streams are threads already

    @property
    def machine(self) -> str:
        cores = f"{os.cpu_count()} cores, {platform.machine()}"
        return f"A device of CPU tensors: {cores}, torch {torch.__version__}"

    def device(self, *, graphs: bool = True) -> Device:
        random = Random(0)
        return HostDevice(delay_s=lambda: random.uniform(0, HOST_DELAY_S))

    def used_mib(self, device: Device) -> float:
        assert isinstance(device, HostDevice)
        return round(device.bytes_in_use / MIB, 3)

    def need_mib(self, device: Device) -> float:
        assert isinstance(device, HostDevice)
        return device.largest / MIB

    def bounded(self, device: Device, mib: float) -> None:
        assert isinstance(device, HostDevice)
        device.capacity = int(mib * MIB) or 1 << 40

    def captured(
        self, device: Device, stream: DeviceStream, work: Callable[[], None]
    ) -> Callable[[], None]:
        return lambda: stream.launch(work)

    def quick(self, model: SlidingWindow) -> SlidingWindow:
        return model

    def judged(self, well: bool) -> Verdict:
        return "not judged"


PLACES: dict[str, Callable[[], Place]] = {"cuda": CudaPlace, "host": HostPlace}


def rate_of(work: Callable[[], object], stream: DeviceStream, device: Device, times: int) -> float:
    """How often a second ``work`` is done in a stream, one after the other."""
    end = device.event()

    def done() -> None:
        stream.record_event(end)
        end.synchronize()

    for _ in range(max(2, times // 8)):
        work()
    done()
    started = perf_counter()
    for _ in range(times):
        work()
    done()
    return times / (perf_counter() - started)
