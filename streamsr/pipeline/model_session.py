"""One model's turn at a stream: from the frames that are admitted to pairs on their way out."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from time import monotonic

from streamsr.core.frame import Frame
from streamsr.engine.base import Engine, EngineStream
from streamsr.pipeline.channel import Channel
from streamsr.pipeline.latency_budget import LatencyBudget

__all__ = ["Admitted", "Pair", "Step", "Turn"]

UNDER_WAY = 64  # windows of one stream at most, whatever the channel holds


@dataclass(frozen=True, slots=True)
class Step:
    """A model that a stream may run: one step of its ladder."""

    name: str
    engine: Engine


@dataclass(frozen=True, slots=True)
class Admitted:
    """A frame that goes through the engine."""

    frame: Frame
    at_s: float  # monotonic
    budget: LatencyBudget  # of its turn, which learns how long it took


@dataclass(frozen=True, slots=True)
class Pair:
    """A frame and what becomes of it."""

    admitted: Admitted
    upscaled: Future[Frame]


class Turn:
    """Frames pushed into ``stream`` come out as pairs, in order. Raises Closed where nobody takes
    them any more; what has not come out then is in ``waiting``."""

    def __init__(
        self, step: Step, stream: EngineStream, budget: LatencyBudget, pairs: Channel[Pair]
    ) -> None:
        self.step = step
        self.budget = budget
        self.waiting: deque[Admitted] = deque()  # their upscaled frame is not yet under way
        self.stream = stream
        self._pairs = pairs
        self._under_way: deque[Future[Frame]] = deque()

    def push(self, frame: Frame) -> None:
        """Run a frame. With a lookahead it comes out only after those that follow it."""
        if self.budget.crowded:
            self._make_room(self.step.engine.workers)
        self.waiting.append(Admitted(frame, monotonic(), self.budget))
        self._pass_on(self.stream.push(frame))

    def flush(self) -> None:
        """End the turn: every frame pushed comes out."""
        self._pass_on(self.stream.flush())

    def _pass_on(self, finished: Sequence[Future[Frame]]) -> None:
        for upscaled in finished:
            self._under_way.append(upscaled)
            self._pairs.send(Pair(self.waiting[0], upscaled))
            self.waiting.popleft()
        self._make_room(UNDER_WAY)

    def _make_room(self, most: int) -> None:
        """Wait until fewer than ``most`` windows are under way."""
        while self._under_way and (len(self._under_way) >= most or self._under_way[0].done()):
            wait([self._under_way.popleft()])
