"""The narrow seam to a device: streams, events, pinned memory and graphs.

This file alone touches ``torch.cuda``. What the engine asks for, it asks for by the protocols, so
that a test may give it streams that are threads (``tests/engine/host_device.py``).
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from streamsr.engine.colour import Converter
from streamsr.engine.cuda.kernels import converter_on
from streamsr.networks.contract import Memory
from streamsr.networks.facts import Colour

__all__ = ["CudaDevice", "CudaStream", "Device", "DeviceEvent", "DeviceStream", "Forward"]

logger = logging.getLogger("streamsr")

Forward = Callable[[], tuple[Tensor, Memory]]
"""Runs a network from static memory; returns its output, and what that leaves to the next frame.

Both hold until the next run, of this or any other graph.
"""

WARM_UPS = 2  # runs before a capture: cuDNN chooses, kernels load, and neither can be captured


class DeviceEvent(Protocol):
    """A point in a stream's work. One that was never recorded has happened."""

    def synchronize(self) -> None:
        """Blocks this thread until it has happened. Raises what the device failed of."""


class DeviceStream(Protocol):
    """Work that a device does in order. Any thread may launch some, without blocking."""

    def wait_event(self, event: DeviceEvent) -> None:
        """Makes all later work wait for ``event``, as it was recorded last until now."""

    def launch(self, work: Callable[[], None]) -> None:
        """Launches what ``work`` calls torch for."""

    def record_event(self, event: DeviceEvent) -> None:
        """Makes ``event`` happen when the work before this is done."""

    def synchronize(self) -> None:
        """Blocks until what was launched is done: seldom, and only in the stream's own work."""


class Device(Protocol):
    """What the engine needs of a device."""

    @property
    def place(self) -> torch.device:
        """Where torch knows it."""

    def stream(self) -> DeviceStream: ...

    def event(self) -> DeviceEvent: ...

    def pinned(self, size: int) -> Tensor:
        """Host memory that the device copies from and to by itself: (size,) uint8."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Device memory of any content. No kernel writes it: streams need not wait for one."""

    def graph(self, forward: Forward) -> Forward:
        """Returns ``forward`` recorded as a graph, or as it is where that cannot be.

        Called in a stream's work. Raises what ``forward`` raises.
        """

    def converter(self, stream: DeviceStream, colour: Colour, pixels: torch.dtype) -> Converter:
        """Returns what converts planes in the work of ``stream``."""


class CudaStream:
    """A stream of the device, beside torch's own."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def wait_event(self, event: DeviceEvent) -> None:
        assert isinstance(event, torch.cuda.Event)  # the engine asked this file for it
        self.cuda.wait_event(event)

    def launch(self, work: Callable[[], None]) -> None:
        with torch.cuda.stream(self.cuda):
            work()

    def record_event(self, event: DeviceEvent) -> None:
        assert isinstance(event, torch.cuda.Event)
        self.cuda.record_event(event)

    def synchronize(self) -> None:
        self.cuda.synchronize()


class CudaDevice:
    """A CUDA device. ``graphs`` False runs networks eagerly, to compare.

    All graphs share one pool of memory. They are replayed one after the other in one stream, and
    what each one gives is read before the next is replayed, so that none may mind what another
    does to the memory between.
    """

    def __init__(self, device: torch.device, *, graphs: bool = True) -> None:
        self.place = torch.device("cuda", device.index or 0)
        self._graphs = graphs
        self._pool = torch.cuda.graph_pool_handle()
        self._capturing = CudaStream(self.place)

    def stream(self) -> DeviceStream:
        return CudaStream(self.place)

    def event(self) -> DeviceEvent:
        # blocking, or a thread that waits would keep a core busy
        return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def pinned(self, size: int) -> Tensor:
        with torch.cuda.device(self.place):
            return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype, device=self.place)

    def graph(self, forward: Forward) -> Forward:
        for _ in range(WARM_UPS):
            forward()
        if not self._graphs:
            return forward
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=self._capturing.cuda,
                capture_error_mode="thread_local",  # other threads copy and allocate meanwhile
            ):
                given = forward()
        except RuntimeError as error:
            if (full := _full_memory(error)) is not None:
                raise full from None
            self._graphs = False
            reason = str(error).splitlines()[0]
            logger.warning("the network runs without CUDA graphs, more slowly: %s", reason)
            return forward

        def replay() -> tuple[Tensor, Memory]:
            graph.replay()
            return given

        return replay

    def converter(self, stream: DeviceStream, colour: Colour, pixels: torch.dtype) -> Converter:
        assert isinstance(stream, CudaStream)
        return converter_on(stream.cuda, colour, pixels)


def _full_memory(error: BaseException | None) -> torch.OutOfMemoryError | None:
    """What a capture failed of first, where that is a full memory: to end one then fails too."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return error
        error = error.__cause__ or error.__context__
    return None
