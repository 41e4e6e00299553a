"""One model's session on a stream: frames that were begun, upscaled and in flight, in order."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from time import monotonic

from streamsr.core.frame import Frame
from streamsr.engine.base import EngineStream, ModelEngine
from streamsr.pipeline.channel import Channel
from streamsr.pipeline.latency_budget import LatencyBudget

__all__ = ["InFlightFrame", "LoadedModel", "ModelSession"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that a stream may run."""

    name: str
    engine: ModelEngine


@dataclass(frozen=True, slots=True)
class InFlightFrame:
    """A frame between the engine and the encoder."""

    frame: Frame
    begun_s: float  # monotonic
    budget: LatencyBudget  # of its session, which learns how long the frame took
    upscaled: Future[Frame]


class ModelSession:
    """Pushes frames into an engine's ``stream`` and sends them on as ``in_flight``, in order.

    Every method raises Closed once nobody takes them any more.
    """

    def __init__(
        self,
        model: LoadedModel,
        stream: EngineStream,
        budget: LatencyBudget,
        in_flight: Channel[InFlightFrame],
    ) -> None:
        self.model = model
        self.stream = stream
        self.budget = budget
        self._in_flight = in_flight
        self._begun: deque[tuple[Frame, float]] = deque()  # frames and when: not sent on yet
        self._running: deque[Future[Frame]] = deque()  # sent on

    @property
    def pending(self) -> int:
        """How many frames were pushed and not sent on."""
        return len(self._begun)

    def push(self, frame: Frame) -> None:
        """Upscales a frame. With a lookahead it is sent on only after those that follow it."""
        self._wait_for_room()
        self._begun.append((frame, monotonic()))
        self._send(self.stream.push(frame))

    def flush(self) -> None:
        """Ends the session: every frame pushed is sent on."""
        self._send(self.stream.flush())

    def _send(self, begun: Sequence[Future[Frame]]) -> None:
        for upscaled in begun:
            self._running.append(upscaled)
            frame, begun_s = self._begun[0]
            self._in_flight.send(InFlightFrame(frame, begun_s, self.budget, upscaled))
            self._begun.popleft()

    def _wait_for_room(self) -> None:
        """Waits, where the budget is crowded, until the engine would begin a frame at once."""
        most = self.model.engine.workers if self.budget.crowded else len(self._running) + 1
        while self._running and (len(self._running) >= most or self._running[0].done()):
            wait([self._running.popleft()])
