"""The CPU engine of recurrent networks: each window waits for the one before it, no thread does.

A window is aligned in any thread as soon as it is there. The rest of it is handed to a thread once
the window before it has left its memory: so two frames of one stream are under way at once all the
same, and the threads are free for other streams meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import thread_time
from typing import Any

import torch

from streamsr.engine.cpu import CpuEngine, WindowJob
from streamsr.networks.chain import Link
from streamsr.networks.contract import Memory

__all__ = ["CpuRecurrentEngine"]


@dataclass(frozen=True, slots=True, eq=False)
class _ChainedJob(WindowJob):
    """A window to be aligned, or to be advanced where it is."""

    stream: object
    link: Link
    aligned: Any = None

    def abandon(self) -> None:
        """It will not be done, and so none of those after it."""
        WindowJob.abandon(self)
        self.link.abandon()


class CpuRecurrentEngine(CpuEngine):
    """A loaded recurrent model; its windows run in ``pool``, each in two parts."""

    def submit(self, stream: object, job: WindowJob) -> None:
        assert job.window.link is not None  # every window of a recurrent network has one
        self._enter(
            _ChainedJob(
                engine=self,
                frame=job.frame,
                meter=job.meter,
                upscaled=job.upscaled,
                window=job.window,
                failed=job.failed,
                stream=stream,
                link=job.window.link,
            )
        )

    def run(self, jobs: Sequence[WindowJob]) -> None:
        """Do one part of each job's window; the second settles the job's future."""
        for job in jobs:
            assert isinstance(job, _ChainedJob)  # nothing else enters the pool here
            if job.aligned is None:
                self._align(job)
            else:
                self._advance(job)

    def _enter(self, job: _ChainedJob) -> None:
        shape = tuple(job.window.window.shape)
        self._pool.submit(job.stream, (self, shape), job)

    def _align(self, job: _ChainedJob) -> None:
        with _charged(job):
            try:
                aligned = job.link.align(job.window.window)
            except RuntimeError as error:  # torch's for all that goes wrong
                job.link.restart()
                self._settle_plainly(job, error)
                return
            except BaseException:
                job.link.restart()
                raise
        job.link.before.add_done_callback(self._continuing(replace(job, aligned=aligned)))

    def _continuing(self, job: _ChainedJob) -> Callable[[Future[Memory]], None]:
        """What lets a job go on when the window before it has been run."""
        waiting = [job]  # once: a future keeps its callbacks for as long as it is kept itself

        def go_on(before: Future[Memory]) -> None:
            job = waiting.pop()
            if before.cancelled():
                job.abandon()
                return
            try:
                self._enter(job)
            except RuntimeError:  # the engine is closed
                job.abandon()

        return go_on

    def _advance(self, job: _ChainedJob) -> None:
        with _charged(job):
            try:
                output = job.link.advance(job.aligned)
            except RuntimeError as error:  # as above
                self._settle_plainly(job, error)
                return
        self.settle(job, output.float())

    def _settle_plainly(self, job: _ChainedJob, error: RuntimeError) -> None:
        job.failed(f"the network failed: {str(error).splitlines()[0]}")
        self.settle(job, None)


@contextmanager
def _charged(job: WindowJob) -> Iterator[None]:
    """Charges the job's stream for the network's time."""
    started = thread_time()
    with torch.inference_mode():
        yield
    job.meter.charge("network", thread_time() - started)
