"""What both engines look like: the CPU's threads and the CUDA device behind one face."""

from collections.abc import Sequence
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

    def stream(self, name: str, meter: Meter, emit: Emit) -> EngineStream: ...
