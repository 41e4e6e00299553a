"""What both engines look like: the CPU's threads and the CUDA device behind one face."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from typing import Protocol

import torch

from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.networks.sliding import SlidingWindow

__all__ = ["Engine", "EngineStream"]


class EngineStream(ABC):
    """One stream through an engine: every frame pushed comes out once, in order.

    A frame marked ``discontinuous``, a scene cut and a change of size flush what is pending, so
    that no window reaches across. One thread may push.
    """

    def __init__(
        self, name: str, meter: Meter, emit: Emit, beside: "EngineStream | None" = None
    ) -> None:
        self._name = name
        self._meter = meter
        self._emit = emit
        self._beside = beside

    @property
    def account(self) -> Hashable:
        """Who its windows are charged to: itself, or the stream that it runs beside."""
        return self if self._beside is None else self._beside.account

    @abstractmethod
    def push(self, frame: Frame) -> Sequence[Future[Frame]]:
        """Take a frame; give what it completes, each done when its future is."""

    @abstractmethod
    def flush(self) -> Sequence[Future[Frame]]:
        """End what was pushed so far: give every frame still pending."""

    def _failed(self, reason: str) -> None:
        self._meter.count("failed")
        self._emit(Event(Code.SR_FAILED, self._name, f"{reason}; the frame is scaled plainly"))


class Engine(Protocol):
    """A loaded model on a device, for any number of streams."""

    @property
    def model(self) -> SlidingWindow: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def workers(self) -> int:
        """How many frames of one stream it wants under way at once."""

    def stream(
        self, name: str, meter: Meter, emit: Emit, *, beside: EngineStream | None = None
    ) -> EngineStream:
        """Begin a stream. ``beside`` another, it is no camera of its own: it takes its turns on
        that one's account, nobody waits for it, and no thread is left to it."""
