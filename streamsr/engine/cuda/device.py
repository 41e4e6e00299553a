"""The narrow seam to a device: streams, events, pinned memory and graphs.

This file alone touches ``torch.cuda``. What the engine asks for, it asks for by the protocols, so
that a test may give it streams that are threads (``tests/engine/threaded.py``).
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from streamsr.engine.cuda.kernels import converter_on
from streamsr.engine.planes import Converter
from streamsr.networks.contract import Memory
from streamsr.networks.facts import Facts

__all__ = ["CudaDevice", "Device", "Event", "Forward", "Stream"]

logger = logging.getLogger("streamsr")

Forward = Callable[[], tuple[Tensor, Memory]]
"""Runs a network from static memory; gives its output, and what that leaves to the next frames.

Both hold until the next run, of this or any other graph.
"""

WARM_UPS = 2  # runs before a capture: cuDNN chooses, kernels load, and neither can be captured


class Event(Protocol):
    """A point in a stream's work. One that was never recorded is passed at once."""

    def synchronize(self) -> None:
        """Block this thread until it is passed. Raises what the device failed of."""


class Stream(Protocol):
    """Work that a device does in order. Any thread may ask for some, and asking never blocks."""

    def wait(self, event: Event) -> None:
        """Let the work after this wait for ``event``, as it was recorded last until now."""

    def do(self, work: Callable[[], None]) -> None:
        """Let the device do what ``work`` calls torch for."""

    def record(self, event: Event) -> None:
        """Let ``event`` be passed when the work before this is done."""

    def settle(self) -> None:
        """Block until what was asked for is done: seldom, and only in the stream's own work."""


class Device(Protocol):
    """What the engine needs of a device."""

    @property
    def place(self) -> torch.device:
        """Where torch knows it."""

    def stream(self) -> Stream: ...

    def event(self) -> Event: ...

    def pinned(self, size: int) -> Tensor:
        """Host memory that the device copies from and to by itself: (size,) uint8."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Device memory of any content. No kernel writes it: streams need not wait for one."""

    def graph(self, forward: Forward) -> Forward:
        """Give ``forward`` recorded as a graph, or as it is where that cannot be.

        Called in a stream's work. Raises what ``forward`` raises.
        """

    def converter(self, stream: Stream, facts: Facts, pixels: torch.dtype) -> Converter:
        """What converts planes in the work of ``stream``."""


class CudaStream:
    """A stream of the device, beside torch's own."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def wait(self, event: Event) -> None:
        assert isinstance(event, torch.cuda.Event)  # the engine asked this file for it
        self.cuda.wait_event(event)

    def do(self, work: Callable[[], None]) -> None:
        with torch.cuda.stream(self.cuda):
            work()

    def record(self, event: Event) -> None:
        assert isinstance(event, torch.cuda.Event)
        self.cuda.record_event(event)

    def settle(self) -> None:
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

    def stream(self) -> Stream:
        return CudaStream(self.place)

    def event(self) -> Event:
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
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._graphs = False
            reason = str(error).splitlines()[0]
            logger.warning("the network runs without CUDA graphs, more slowly: %s", reason)
            return forward

        def replay() -> tuple[Tensor, Memory]:
            graph.replay()
            return given

        return replay

    def converter(self, stream: Stream, facts: Facts, pixels: torch.dtype) -> Converter:
        assert isinstance(stream, CudaStream)
        return converter_on(stream.cuda, facts.colour, facts.scale, pixels)
