"""Several passes of one network over the same frames, averaged: what a file has the time for.

A network errs differently where it sees a frame mirrored (Timofte et al., Seven Ways to Improve
Example-Based Single Image Super Resolution, 2016), and a recurrent one where it comes to it from
the frames after it. Frames are taken in groups: forward as they come, then backward from a few
frames beyond the group.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace

import numpy as np

from streamsr.core.frame import Frame, Plane
from streamsr.engine.base import EngineStream, ModelEngine, StreamRequest
from streamsr.engine.mixed.futures import made_of
from streamsr.engine.mixed.loading import Load
from streamsr.engine.mixed.over import EngineOver
from streamsr.engine.mixed.run_up import AHEAD, STEP
from streamsr.networks.contract import Memory
from streamsr.networks.flow import FINE, Search
from streamsr.zoo.registry import Entry

__all__ = ["PassesEngine", "in_passes", "passes_of"]

GROUP = 32  # frames that a backward pass gives at once, at most
LEAST_GROUP = 8
RUN_UP = 4  # frames after a group that its backward pass comes from
GROUP_BYTES = 96 << 20  # of a group's results, where that is more than LEAST_GROUP of them


def in_passes(load: Load) -> Load:
    """Returns what loads as ``load``, to run in several passes by a fine search; a filter needs but
    one."""

    def loaded(entry: Entry, search: Search = FINE) -> ModelEngine:
        engine = load(entry, search)
        return engine if entry.card.is_filter else PassesEngine(engine)

    return loaded


def passes_of(engine: ModelEngine) -> float:
    """Returns how often a model runs for a frame, about: of large frames it is more often."""
    if not isinstance(engine, PassesEngine):
        return 1.0
    backward = (GROUP + RUN_UP + AHEAD) / GROUP if engine.model.recurrent else 0.0
    return 2 * (1.0 + backward)


class PassesEngine(EngineOver):
    """Every stream through ``engine`` in several passes: forward and mirrored, and of a recurrent
    network both of them backward too."""

    def stream(self, request: StreamRequest) -> EngineStream:
        def begun() -> _Pass:
            return _Pass(self._engine.stream(request), self.workers)

        return _PassesStream(self._engine, request, begun)


class _Pass:
    """A stream of its own, of which ``most`` frames are on their way: what waits is large."""

    def __init__(self, stream: EngineStream, most: int) -> None:
        self._stream = stream
        self._most = most
        self._running: deque[Future[Frame]] = deque()

    def push(self, frame: Frame) -> Sequence[Future[Frame]]:
        while len(self._running) >= self._most:
            wait([self._running.popleft()])
        results = self._stream.push(frame)
        self._running.extend(results)
        return results

    def flush(self) -> Sequence[Future[Frame]]:
        return self._stream.flush()

    def memory(self) -> Sequence[Future[Memory]]:
        return self._stream.memory()

    def restore(self, memory: Memory) -> Sequence[Future[Frame]]:
        return self._stream.restore((memory,))


class _PassesStream(EngineStream):
    """What is pending waits for its group to be complete, and comes out one a push from then on."""

    def __init__(
        self,
        engine: ModelEngine,
        request: StreamRequest,
        begun: Callable[[], _Pass],
    ) -> None:
        super().__init__(engine, request)
        self._forward = begun(), begun()  # as they are, and mirrored
        self._backward = (begun(), begun()) if engine.model.recurrent else ()
        self._given: tuple[deque[Future[Frame]], ...] = (deque(), deque())  # forward, of pending
        self._done: deque[Future[Frame]] = deque()  # of groups that are complete
        self._memories: deque[Sequence[Future[Memory]]] = deque()  # forward, before each pending

    def push(self, frame: Frame) -> Sequence[Future[Frame]]:
        self.size_of(frame)
        done = self.flush() if self._detector.is_discontinuity(frame) else ()
        return [*done, *self._take(frame)]  # whose passes charge their own time

    def flush(self) -> list[Future[Frame]]:
        """Ends what was pushed so far: returns every frame still pending."""
        for given, stream in zip(self._given, self._forward, strict=True):
            given.extend(stream.flush())
        self._close_group(len(self._pending))
        done, self._done = list(self._done), deque()
        return done

    def memory(self) -> Sequence[Future[Memory]]:
        return self._memories[0] if self._memories else self._forward_memory()

    def _forward_memory(self) -> Sequence[Future[Memory]]:
        return [memory for stream in self._forward for memory in stream.memory()]

    @property
    def since_memory(self) -> int:
        return len(self._pending) if self._backward else 0

    def restore(self, memory: Sequence[Memory]) -> list[Future[Frame]]:
        for given, stream, left in zip(self._given, self._forward, memory, strict=True):
            given.extend(stream.restore(left))
        self._close_group(len(self._pending))
        done, self._done = list(self._done), deque()
        return done

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        self._pending.append(frame)
        self._memories.append(self._forward_memory())
        views = frame, _mirrored(frame)
        for given, stream, view in zip(self._given, self._forward, views, strict=True):
            given.extend(stream.push(view))
        if not self._backward:
            self._close_group(min(len(given) for given in self._given))
        elif len(self._pending) == (group := self._group_of(frame)) + RUN_UP:
            self._close_group(group)
        return [self._done.popleft()] if self._done else []

    def _group_of(self, frame: Frame) -> int:
        """How many frames are one group: of large ones few, since all their results are kept."""
        width, height = self.size_of(frame)
        return max(LEAST_GROUP, min(GROUP, GROUP_BYTES // (2 * width * height)))

    def _close_group(self, count: int) -> None:
        """Averages the first ``count`` of what is pending; the rest is their run-up."""
        results = [[given.popleft() for given in self._given] for _ in range(count)]
        for into, backward in zip(results, self._backward_results(), strict=False):
            into.extend(backward)
        self._done += [made_of(into, _mean) for into in results]
        for _ in results:
            self._pending.popleft()
            self._memories.popleft()

    def _backward_results(self) -> Iterable[tuple[Future[Frame], ...]]:
        """Returns what backward passes over what is pending give, the oldest frame's first."""
        if not self._backward:
            return ()
        backward = _reversed(self._pending)
        views = backward, [_mirrored(frame) for frame in backward]
        given: tuple[list[Future[Frame]], ...] = [], []
        for pair in zip(*views, strict=True):
            for results, stream, frame in zip(given, self._backward, pair, strict=True):
                results.extend(stream.push(frame))
        for results, stream in zip(given, self._backward, strict=True):
            results.extend(stream.flush())
        return zip(*map(reversed, given), strict=True)


def _mean(passes: Sequence[Frame]) -> Frame:
    """Returns the mean of passes, the first of which is neither mirrored nor backward, and of which
    every second one is mirrored.

    Chroma of 4:2:0 is scaled plainly in each, and taken from the first.
    """
    first = passes[0].planes[0]
    total = np.zeros(first.shape, np.float32)
    for number, one in enumerate(passes):
        total += one.planes[0][:, ::-1] if number % 2 else one.planes[0]
    mean: Plane = np.rint(total / len(passes)).astype(first.dtype)
    return replace(passes[0], planes=(mean, *passes[0].planes[1:]))


def _mirrored(frame: Frame) -> Frame:
    return replace(frame, planes=tuple(np.ascontiguousarray(p[:, ::-1]) for p in frame.planes))


def _reversed(frames: Sequence[Frame]) -> list[Frame]:
    """The frames backward, as a stream of their own."""
    return [
        replace(frame, pts=n, time_base=STEP, discontinuous=n == 0, after_gap=False)
        for n, frame in enumerate(reversed(frames))
    ]
