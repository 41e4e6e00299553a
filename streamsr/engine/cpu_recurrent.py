"""The CPU engine of recurrent networks: each window waits for the one before it, no thread does.

A window is aligned in any thread as soon as it is there. It comes back to a thread to be advanced
once the window before it has left its memory: two frames of one stream are in flight at once all
the same, and the threads are free for other streams meanwhile.
"""

from collections.abc import Callable
from concurrent.futures import Future

from streamsr.engine.cpu import CpuEngine, CpuJob
from streamsr.networks.contract import Memory

__all__ = ["CpuRecurrentEngine"]


class CpuRecurrentEngine(CpuEngine):
    """A loaded recurrent model; its windows run in ``pool``, each in two parts."""

    def run(self, job: CpuJob) -> None:
        """Does one part of a job's window; the second settles the job's future."""
        assert job.window is not None
        window, link = job.window.window, job.window.link
        assert link is not None  # every window of a recurrent network has one
        if link.is_aligned:
            self._settle(job, self._attempted(job, link.advance))
            return
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
            except RuntimeError:  # the engine is closed
                job.abandon()

        return go_on
