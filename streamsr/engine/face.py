"""What both engines look like: the CPU's threads and the CUDA device behind one face."""

from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from typing import Protocol

import torch

from streamsr.events import Emit
from streamsr.frame import Frame
from streamsr.metrics import Meter
from streamsr.networks.sliding import SlidingWindow

__all__ = ["Engine", "EngineStream"]


class EngineStream(Protocol):
    """One stream through an engine: every frame pushed comes out once, in order. A frame that has
    nothing to do with those before it flushes them first. One thread may push."""

    @property
    def account(self) -> Hashable:
        """Who its windows are charged to: itself, or the stream that it runs beside."""

    def push(self, frame: Frame) -> Sequence[Future[Frame]]:
        """Take a frame; give what it completes, each done when its future is."""

    def flush(self) -> Sequence[Future[Frame]]:
        """End what was pushed so far: give every frame still pending."""


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
