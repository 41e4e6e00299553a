"""A device made of CPU tensors: the engine of ``engine.py`` without a GPU.

For tests, and for ``benchmarks/cuda.py --dry-run``. Its streams run at once, or, with ``delay_s``,
each in a thread of its own that waits so long before every piece of work: then work overlaps as on
a GPU, and an operation that lacks a dependency reads what is not there yet. Memory comes poisoned,
and the next graph spoils what one gave.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from itertools import chain
from queue import SimpleQueue
from time import sleep

import torch
from torch import Tensor

from streamsr.engine.colour import Converter, TorchConverter
from streamsr.engine.cuda.device import DeviceEvent, DeviceStream, Forward
from streamsr.engine.cuda.kernels import KernelConverter, Launch
from streamsr.networks.contract import Memory
from streamsr.networks.facts import Colour

__all__ = ["HostDevice", "MakeDevice"]

POISON = 0xAB
STUCK_S = 60.0


class HostEvent:
    """Passes when its stream comes to it. Notes which threads wait."""

    def __init__(self, device: "HostDevice") -> None:
        self._device = device
        self.passed = threading.Event()  # of the last recording
        self.passed.set()

    def synchronize(self) -> None:
        self._device.waited.add(threading.current_thread().name)
        if not self.passed.wait(STUCK_S):
            raise RuntimeError(f"a stream has not come to an event in {STUCK_S:.0f} s")
        if self._device.failure is not None:
            raise self._device.failure


class HostStream:
    """Work in order. A failure shows later, where an event is waited for: as on a GPU."""

    def __init__(self, device: "HostDevice", delay_s: Callable[[], float] | None) -> None:
        self._device = device
        self._delay_s = delay_s
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        if delay_s is not None:
            threading.Thread(target=self._run, name="streamsr-host-stream", daemon=True).start()

    def wait_event(self, event: DeviceEvent) -> None:
        assert isinstance(event, HostEvent)
        self._ask(event.passed.wait)  # of the recording until now

    def launch(self, work: Callable[[], None]) -> None:
        self._ask(lambda: self._do(work))

    def record_event(self, event: DeviceEvent) -> None:
        assert isinstance(event, HostEvent)
        event.passed = threading.Event()
        self._ask(event.passed.set)

    def synchronize(self) -> None:
        """Work asks for this, and what came before it is done."""

    def close(self) -> None:
        self._queue.put(None)

    def _ask(self, work: Callable[[], object]) -> None:
        if self._delay_s is None:
            work()
        else:
            self._queue.put(work)

    def _do(self, work: Callable[[], None]) -> None:
        if self._delay_s is None:
            work()
            return
        sleep(self._delay_s())
        try:
            work()
        except Exception as error:
            self._device.failure = error

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()


class HostDevice:
    """What ``Device`` asks for. ``launch`` runs the kernels, where torch is not to convert."""

    place = torch.device("cpu")

    def __init__(
        self, *, delay_s: Callable[[], float] | None = None, launch: Launch | None = None
    ) -> None:
        self.failure: Exception | None = None
        self.waited: set[str] = set()  # names of the threads that waited for an event
        self.allocations = 0
        self.graphs = 0
        self.capacity = 1 << 40  # bytes: more at once is out of memory
        self.largest = 0  # bytes that were asked for at once
        self._delay_s = delay_s
        self._launch = launch
        self._streams: list[HostStream] = []
        self._allocated: list[weakref.ref[Tensor]] = []
        self._given: list[tuple[Tensor, ...]] = []  # by each graph

    def stream(self) -> DeviceStream:
        self._streams.append(HostStream(self, self._delay_s))
        return self._streams[-1]

    def event(self) -> DeviceEvent:
        return HostEvent(self)

    def pinned(self, size: int) -> Tensor:
        return self._kept(torch.full((size,), POISON, dtype=torch.uint8))

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        size = torch.Size(shape).numel() * dtype.itemsize
        self.largest = max(self.largest, size)
        if size > self.capacity:
            raise torch.OutOfMemoryError("there is not so much memory")
        poison = float("nan") if dtype.is_floating_point else POISON
        return self._kept(torch.full(tuple(shape), poison, dtype=dtype))

    @property
    def in_use(self) -> int:
        """How many allocations have not been freed."""
        return sum(reference() is not None for reference in self._allocated)

    @property
    def bytes_in_use(self) -> int:
        """What those take."""
        kept = (reference() for reference in self._allocated)
        return sum(memory.nbytes for memory in kept if memory is not None)

    def _kept(self, memory: Tensor) -> Tensor:
        self.allocations += 1
        self._allocated.append(weakref.ref(memory))
        return memory

    def graph(self, forward: Forward) -> Forward:
        self.graphs += 1
        output, memory = forward()
        given = tuple(made.clone() for made in (output, *memory))
        self._given.append(given)

        def replay() -> tuple[Tensor, Memory]:
            output, memory = forward()
            for kept in chain.from_iterable(self._given):
                kept.fill_(float("nan"))
            for kept, made in zip(given, (output, *memory), strict=True):
                kept.copy_(made)
            return given[0], given[1:]

        return replay

    def converter(self, stream: DeviceStream, colour: Colour, pixels: torch.dtype) -> Converter:
        if self._launch is not None:
            return KernelConverter(colour, self._launch)
        return TorchConverter(colour)

    def close(self) -> None:
        """Ends the streams' threads."""
        for stream in self._streams:
            stream.close()


MakeDevice = Callable[..., HostDevice]
