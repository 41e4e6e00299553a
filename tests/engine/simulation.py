"""One stream through the three lanes, in simulated time: what ``slots.py`` lets happen at once."""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from streamsr.engine.cuda.slots import BATCHES_AHEAD, Dependency, Lane, Operation, Slots
from streamsr.networks.window import Window

__all__ = ["STAGES", "Simulation"]

STAGES = ("fill", "upload", "compute", "download", "take")
"""What happens to a frame: the first and the last are the host's, the others a lane's."""


@dataclass(frozen=True, slots=True)
class Touch:
    """A lane or the host at a piece of memory."""

    start: float
    end: float
    writes: bool


@dataclass(frozen=True, slots=True)
class Queued:
    slot: int
    arrivals: tuple[int, ...]  # slots


class Simulation:
    """The engine's order of launching, ``spans(stage)`` being how long the next frame takes there.

    A batch of several frames computes in ``batching`` of the time that they would take one by
    one. With ``early`` the host gives a slot back when its download is launched, not when the
    output was taken. ``forget`` is a lane that waits for nothing, to see what comes of it.
    """

    def __init__(
        self,
        slots: int,
        frames: int,
        spans: Callable[[str], float],
        *,
        window: int = 1,
        batching: float = 1.0,
        early: bool = False,
        forget: Lane | None = None,
    ) -> None:
        self.touches: dict[tuple[str, int], list[Touch]] = defaultdict(list)  # by piece and slot
        self.finished: list[float] = []
        self.launched: dict[Lane, list[Operation]] = {lane: [] for lane in Lane}
        self._slots = Slots(slots + window - 1)
        self._left = frames
        self._spans = spans
        self._window = Window(window)
        self._batching = batching
        self._early = early
        self._forget = forget
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._lane_free = dict.fromkeys(Lane, 0.0)
        self._taker_free = 0.0
        self._done_at: dict[Dependency, float] = defaultdict(float)
        self._waiting: deque[Queued] = deque()
        self._pending: deque[int] = deque()
        self._arrivals: list[int] = []
        self._in_flight = 0
        self._filling = False

    def run(self) -> "Simulation":
        self._fill()
        while self._events:
            self._now, _, action = heapq.heappop(self._events)
            action()
        return self

    def hazards(self) -> set[str]:
        """The pieces of memory that were written while something else was at them."""
        found = set()
        for (piece, _), touches in self.touches.items():
            touches.sort(key=lambda touch: touch.start)
            for number, one in enumerate(touches):
                for other in touches[number + 1 :]:
                    if other.start >= one.end:
                        break
                    if one.writes or other.writes:
                        found.add(piece)
        return found

    def _at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._number), action))

    def _touch(self, piece: str, slot: int, span: tuple[float, float], *, writes: bool) -> None:
        self.touches[piece, slot].append(Touch(*span, writes))

    def _run(self, operations: list[Operation], seconds: float) -> tuple[float, float]:
        """Runs on a lane: after what was launched there before, and after the dependencies."""
        lane = operations[0].lane
        self.launched[lane] += operations
        start = max(self._now, self._lane_free[lane])
        if lane is not self._forget:
            start = max([start, *(self._done_at[one] for each in operations for one in each.waits)])
        end = self._lane_free[lane] = start + seconds
        for operation in operations:
            self._done_at[operation.slot, operation.lane] = end
        return start, end

    def _fill(self) -> None:
        """The stream's thread: the next frame, as soon as a slot is free."""
        if self._filling or self._left == 0 or (slot := self._slots.take()) is None:
            return
        self._left -= 1
        self._filling = True
        span = self._now, self._now + self._spans("fill")
        self._touch("pinned in", slot, span, writes=True)
        self._at(span[1], lambda: self._upload(slot))

    def _upload(self, slot: int) -> None:
        span = self._run([self._slots.upload(slot)], self._spans("upload"))
        self._touch("pinned in", slot, span, writes=False)
        self._touch("device in", slot, span, writes=True)
        _, windows = self._window.push()
        self._arrivals.append(slot)
        self._pending.append(slot)
        self._submit(len(windows))
        if self._left == 0:
            self._submit(len(self._window.flush()))
        self._filling = False
        self._fill()

    def _submit(self, windows: int) -> None:
        for _ in range(windows):
            self._waiting.append(Queued(self._pending.popleft(), tuple(self._arrivals)))
            self._arrivals = []
        self._dispatch()

    def _dispatch(self) -> None:
        while self._waiting and self._in_flight < BATCHES_AHEAD:
            self._in_flight += 1
            batch, self._waiting = list(self._waiting), deque()
            self._launch(batch)

    def _launch(self, batch: list[Queued]) -> None:
        operations = [self._slots.compute(job.slot, job.arrivals) for job in batch]
        seconds = sum(self._spans("compute") for _ in batch)
        span = self._run(operations, seconds * (self._batching if len(batch) > 1 else 1.0))
        for job in batch:
            for slot in {job.slot, *job.arrivals}:
                self._touch("device in", slot, span, writes=False)
            self._touch("device out", job.slot, span, writes=True)
        for job in batch:
            self._download(job.slot, last=job is batch[-1])

    def _download(self, slot: int, *, last: bool) -> None:
        span = self._run([self._slots.download(slot)], self._spans("download"))
        self._touch("device out", slot, span, writes=False)
        self._touch("pinned out", slot, span, writes=True)
        start = max(span[1], self._taker_free)
        end = self._taker_free = start + self._spans("take")
        self._touch("pinned out", slot, (start, end), writes=False)
        self._at(self._now if self._early else end, lambda: self._free(slot))
        self._at(end, lambda: self._delivered(last=last))

    def _free(self, slot: int) -> None:
        self._slots.free(slot)
        self._fill()

    def _delivered(self, *, last: bool) -> None:
        self.finished.append(self._now)
        if last:
            self._in_flight -= 1
            self._dispatch()
