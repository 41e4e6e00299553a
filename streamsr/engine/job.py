"""A frame on its way through an engine's threads."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter

__all__ = ["Job", "Runs", "run_jobs"]


class Runs(Protocol):
    """An engine as its threads see it."""

    def run(self, jobs: Sequence[Any]) -> None:
        """Settle the future of every job, all of them of this engine and of one shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A frame, whose work it is, and where it is to go."""

    engine: Runs
    frame: Frame
    meter: Meter
    upscaled: Future[Frame]

    def abandon(self) -> None:
        """It will not be done: the engine has been closed."""
        if not self.upscaled.cancelled() and self.upscaled.cancel():
            self.upscaled.set_running_or_notify_cancel()  # else who waits for it waits for ever


def run_jobs(jobs: list[Job]) -> None:
    """What a thread does with a batch."""
    try:
        jobs[0].engine.run(jobs)
    except Exception as error:  # whatever it is belongs to the streams that wait for it
        for job in jobs:
            if not job.upscaled.done():
                job.upscaled.set_exception(error)
