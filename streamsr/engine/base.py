"""What every engine offers: a loaded model on a device, and streams of frames through it."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import torch

from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.target_size import TargetSize
from streamsr.engine.discontinuity import DiscontinuityDetector
from streamsr.networks.contract import Memory
from streamsr.networks.sliding import SlidingWindow

__all__ = ["IS_FULL", "EngineStream", "Job", "ModelEngine", "StreamRequest", "network_failure"]

IS_FULL = "the device's memory is full"


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a stream through an engine is asked for.

    One that runs ``beside`` another is no camera: its windows are charged to that stream's account,
    none waits for them to fill a batch, and no thread is left to it.
    """

    name: str
    """In its events and in the log."""
    meter: Meter
    """Where its stages and its failures are counted."""
    emit: Emit
    beside: "EngineStream | None" = None
    target: TargetSize | None = None
    """The size in which its frames come out; None: that of the model."""


class ModelEngine(Protocol):
    """A loaded model on a device, for any number of streams."""

    @property
    def model(self) -> SlidingWindow: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def workers(self) -> int:
        """How many frames of one stream it wants in flight at once."""

    def stream(self, request: StreamRequest) -> "EngineStream":
        """Begins a stream."""


class EngineStream(ABC):
    """One stream through an engine: every frame pushed comes out once, in order.

    A discontinuity and a change of size flush what is pending, so that no window spans them. One
    thread may push.
    """

    def __init__(self, engine: ModelEngine, request: StreamRequest) -> None:
        self.meter = request.meter
        self._engine = engine
        self._name = request.name
        self._emit = request.emit
        beside = request.beside
        self._account: Hashable = object() if beside is None else beside.account
        self._target = request.target
        self._pending: deque[Frame] = deque()  # pushed, but their window is not complete
        self._detector = DiscontinuityDetector(
            engine.model.facts.window, recurrent=engine.model.recurrent
        )

    @property
    def account(self) -> Hashable:
        """What its windows are charged to: its own account, or that of the one it runs beside.

        It holds nothing of the stream, which may be gone while its account is still kept.
        """
        return self._account

    def size_of(self, frame: Frame) -> tuple[int, int]:
        """Returns width and height of what becomes of ``frame``. Raises ConfigError."""
        if self._target is not None:
            return self._target.of(frame.width, frame.height)
        scale = self._engine.model.facts.scale
        return frame.width * scale, frame.height * scale

    def push(self, frame: Frame) -> Sequence[Future[Frame]]:
        """Takes a frame; returns what it completes, each done when its future is.

        Raises ConfigError where the stream's target allows no size for it.
        """
        self.size_of(frame)  # or a thread of the engine would meet the error
        with self.meter.stage("prepare"):
            done = self.flush() if self._detector.is_discontinuity(frame) else ()
            return [*done, *self._take(frame)]

    def memory(self) -> Sequence[Future[Memory]]:
        """Returns what a recurrent network has of the frames pushed so far but for the newest
        ``since_memory``, done once they have run. Empty where there is nothing, or the engine does
        not give it out."""
        return ()

    @property
    def since_memory(self) -> int:
        """How many frames another stream is to be pushed again, after it took the ``memory``."""
        return 0

    def restore(self, memory: Sequence[Memory]) -> Sequence[Future[Frame]]:
        """Goes on from the ``memory`` that a stream of the same model had, after the same frames;
        the newest few of them have been pushed into this one. Returns what of those was pending.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no memory out, and takes none")

    @abstractmethod
    def flush(self) -> Sequence[Future[Frame]]:
        """Ends what was pushed so far: returns every frame still pending."""

    @abstractmethod
    def _take(self, frame: Frame) -> Sequence[Future[Frame]]:
        """Takes a frame of which all that are pending are the past."""

    def memory_is(self, doing: str | None) -> None:
        """Reports that a device's memory is full, and what is done about it; None: that it is not
        any more."""
        if doing is None:
            self._emit(Event(Code.MEMORY_ENOUGH, self._name, "the device has memory again"))
        else:
            reason = f"{doing}; more is tried again later"
            self._emit(Event(Code.MEMORY_SHORT, self._name, IS_FULL, doing=reason))

    def failed(self, reason: str) -> None:
        """Reports that a frame is resized by a filter, since the network has no output for it."""
        self.meter.count("failed")
        self._emit(Event(Code.SR_FAILED, self._name, f"{reason}; the frame is scaled plainly"))


@dataclass(slots=True, eq=False)
class Job:
    """A frame on its way through an engine."""

    stream: EngineStream
    frame: Frame
    upscaled: Future[Frame] = field(default_factory=Future, init=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what becomes of the frame."""
        return self.stream.size_of(self.frame)


def network_failure(error: Exception) -> str:
    """Returns why a network gave nothing, by what torch or OpenCV raised."""
    reason = str(error).strip() or type(error).__name__
    return f"the network failed: {reason.splitlines()[0]}"
