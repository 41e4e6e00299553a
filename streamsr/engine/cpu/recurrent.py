"""The CPU engine of recurrent networks: each window waits for the one before it, no thread does.

A window is aligned in any thread as soon as it is there. It comes back to the threads to be
advanced once the window before it has left its memory, in parts that run side by side where
there are fewer streams than threads: one stream's steps must follow one another, and would leave
threads idle.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self

from streamsr.core.errors import EngineClosedError
from streamsr.engine.cpu.engine import CpuEngine, CpuJob
from streamsr.networks.chain import ChainLink
from streamsr.networks.contract import Memory

__all__ = ["MAX_PARTS", "CpuRecurrentEngine"]

MAX_PARTS = 4  # of a step: each computes rows of its neighbours again


class CpuRecurrentEngine(CpuEngine):
    """A loaded recurrent model; its windows run in ``pool``, each in a few parts."""

    def run(self, job: CpuJob) -> None:
        """Does one part of a job; the last one settles the job's future."""
        link = _link(job)
        if isinstance(job, _PartJob):
            job.run()
        elif link.is_aligned:
            self._advance(job, link)
        else:
            self._align(job, link)

    def _align(self, job: CpuJob, link: ChainLink) -> None:
        assert job.window is not None
        window = job.window.pixels
        self._attempted(job, lambda: link.align(window))
        if link.is_aligned:
            link.before.add_done_callback(self._continuing(job))
        else:
            self._settle(job, None)

    def _continuing(self, job: CpuJob) -> Callable[[Future[Memory]], None]:
        """Returns what submits a job again when the window before it has run."""
        waiting = [job]  # a future keeps its callbacks, and they would keep the frame

        def go_on(before: Future[Memory]) -> None:
            job = waiting.pop()
            if before.cancelled():
                job.abandon()
                return
            try:
                self.submit(job)
            except EngineClosedError:
                job.abandon()

        return go_on

    def _advance(self, job: CpuJob, link: ChainLink) -> None:
        """Begins a job's step; whichever thread ends its last part finishes it."""
        most = min(MAX_PARTS, self.workers // max(1, self._pool.streams))
        parts = self._attempted(job, lambda: link.begin(max(1, most)))
        if parts is None:
            self._settle(job, None)
            return
        step = _StepParts(self, job, link, parts)
        try:
            for number in range(1, len(parts)):
                self.submit(_PartJob.of(job, step, number))
        except EngineClosedError:
            job.abandon()
        else:
            step.run(0)

    def attempts(self, job: CpuJob, part: Callable[[], None]) -> bool:
        """Runs a part of a job's step; returns whether the network did not fail."""

        def succeeds() -> bool:
            part()
            return True

        return bool(self._attempted(job, succeeds))

    def finish(
        self, job: CpuJob, link: ChainLink, *, failed: bool, error: Exception | None
    ) -> None:
        """Settles a job whose parts have all run. Raises the ``error`` that one of them raised."""
        if failed:
            link.fail()
        if error is not None:
            raise error
        self._settle(job, None if failed else self._attempted(job, link.finish))


class _StepParts:
    """The parts of one step, in as many jobs: what is left of them, and how it ends."""

    def __init__(
        self,
        engine: CpuRecurrentEngine,
        job: CpuJob,
        link: ChainLink,
        parts: Sequence[Callable[[], None]],
    ) -> None:
        self._engine = engine
        self._job = job
        self._link = link
        self._parts = parts
        self._left = max(1, len(parts))
        self._failed = False
        self._error: Exception | None = None  # a fault that is not the network's
        self._lock = threading.Lock()

    def run(self, number: int) -> None:
        """Runs a part, where there is one, and finishes the step after the last."""
        works, error = False, None
        try:
            works = not self._parts or self._engine.attempts(self._job, self._parts[number])
        except Exception as raised:  # whatever it is belongs to the stream that waits for the frame
            error = raised
        with self._lock:
            self._left -= 1
            self._failed |= not works
            self._error = self._error or error
            if self._left:
                return
        self._engine.finish(self._job, self._link, failed=self._failed, error=self._error)


@dataclass(slots=True, eq=False, kw_only=True)
class _PartJob(CpuJob):
    """One part of a step, whose frame it may settle."""

    step: _StepParts
    number: int

    @classmethod
    def of(cls, job: CpuJob, step: _StepParts, number: int) -> Self:
        part = cls(job.stream, job.frame, job.engine, job.window, step=step, number=number)
        part.upscaled = job.upscaled
        return part

    def run(self) -> None:
        self.step.run(self.number)


def _link(job: CpuJob) -> ChainLink:
    assert job.window is not None
    assert job.window.link is not None  # every window of a recurrent network has one
    return job.window.link
