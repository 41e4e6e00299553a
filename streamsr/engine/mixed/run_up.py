"""A run-up to each scene: what a file has, whose next frames are there before the first is shown.

A recurrent network knows nothing at a scene's first frame, and less than it can for some more. It
comes to that frame from the ones after it, the last of them first, and so begins with a memory.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from fractions import Fraction

from streamsr.core.frame import Frame
from streamsr.engine.base import EngineStream, ModelEngine, StreamRequest
from streamsr.engine.mixed.futures import made_of
from streamsr.engine.mixed.loading import Load
from streamsr.engine.mixed.over import EngineOver
from streamsr.networks.contract import Memory
from streamsr.networks.flow import USUAL, Search
from streamsr.zoo.registry import Entry

__all__ = ["AHEAD", "STEP", "RunUpEngine", "run_up_by", "with_run_up"]

AHEAD = 4  # frames that a scene's first one is come to from: more give no more
STEP = Fraction(1, 25)  # seconds between frames that are not in their order, and need stamps


def with_run_up(load: Load) -> Load:
    """Returns what loads as ``load``, recurrent networks to run up to each scene."""

    def loaded(entry: Entry, search: Search = USUAL) -> ModelEngine:
        return run_up_by(load(entry, search))

    return loaded


def run_up_by(engine: ModelEngine) -> ModelEngine:
    """Returns ``engine``, to run up to each scene where its model is recurrent."""
    return RunUpEngine(engine) if engine.model.recurrent else engine


class RunUpEngine(EngineOver):
    """Every stream through ``engine``, each of its scenes begun by a run-up."""

    def stream(self, request: StreamRequest) -> EngineStream:
        return _RunUpStream(self._engine, request)


class _RunUpStream(EngineStream):
    """What is pending opens a scene, and waits for what it is come to from."""

    def __init__(self, engine: ModelEngine, request: StreamRequest) -> None:
        super().__init__(engine, request)
        self._stream = engine.stream(request)
        self._opens = True  # the next frame, or what is pending, opens a scene
        self._left_out = 0  # results that are still to come of run-ups
        self._first: Frame | None = None  # of a scene, until its result has come

    def push(self, frame: Frame) -> list[Future[Frame]]:
        self.size_of(frame)
        done = self.flush() if self._detector.is_discontinuity(frame) else []
        return [*done, *self._take(frame)]  # the stream beneath charges its own time

    def flush(self) -> list[Future[Frame]]:
        """Ends what was pushed so far: returns every frame still pending."""
        done = [*self._opened(), *self._wanted(self._stream.flush())]
        self._opens = True
        return done

    def memory(self) -> Sequence[Future[Memory]]:
        return () if self._opens else self._stream.memory()

    @property
    def since_memory(self) -> int:
        return len(self._pending) + self._stream.since_memory

    def restore(self, memory: Sequence[Memory]) -> list[Future[Frame]]:
        seen, self._opens = list(self._pending), False  # a scene that another stream has opened
        self._pending.clear()
        done = [future for frame in seen for future in self._stream.push(frame)]
        return self._wanted([*done, *self._stream.restore(memory)])

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        if not self._opens:
            return self._wanted(self._stream.push(frame))
        self._pending.append(frame)
        return self._opened() if len(self._pending) > AHEAD else []

    def _opened(self) -> list[Future[Frame]]:
        """Pushes what opens a scene, come to from all of it but the first frame."""
        if not self._pending:
            return []
        frames, self._opens = list(self._pending), False
        self._pending.clear()
        self._first, *rest = frames
        run_up = _before(self._first, rest)
        self._left_out += len(run_up)
        first = replace(self._first, discontinuous=not run_up, after_gap=False)
        pushed = [future for one in (*run_up, first, *rest) for future in self._stream.push(one)]
        return self._wanted(pushed)

    def _wanted(self, results: Sequence[Future[Frame]]) -> list[Future[Frame]]:
        """Leaves those of run-ups out, and tells of a scene's first frame what its source does."""
        wanted = list(results[self._left_out :])
        self._left_out = max(0, self._left_out - len(results))
        if wanted and self._first is not None:
            wanted[0] = _told_as(self._first, wanted[0])
            self._first = None
        return wanted


def _before(first: Frame, rest: Sequence[Frame]) -> list[Frame]:
    """The frames after a scene's first one, the last of them first, as if they came before it."""
    step = max(1, round(STEP / first.time_base))
    return [
        replace(frame, pts=first.pts - n * step, discontinuous=n == len(rest), after_gap=False)
        for n, frame in reversed(list(enumerate(rest, 1)))
    ]


def _told_as(source: Frame, result: Future[Frame]) -> Future[Frame]:
    """A frame's result, as it would be without a run-up."""

    def told(results: Sequence[Frame]) -> Frame:
        return replace(results[0], discontinuous=source.discontinuous, after_gap=source.after_gap)

    return made_of([result], told)
