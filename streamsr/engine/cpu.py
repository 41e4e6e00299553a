"""The engine of a CPU: frames of many streams in, upscaled frames out, in each stream's order.

Whole windows run side by side, one thread each: threads inside one convolution would
wait for each other at every layer, and on a busy machine that costs more than they win.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from time import thread_time
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.core.events import Emit
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream, Job, network_failure
from streamsr.engine.colour import network_input, network_output
from streamsr.engine.resample import enlarge_frame
from streamsr.engine.scheduler import Scheduler
from streamsr.engine.thread_pool import ThreadPool
from streamsr.networks.sliding import Ready, SlidingWindow, WindowState

__all__ = ["CpuEngine", "CpuEngineStream", "CpuJob", "cpu_pool"]

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class CpuJob(Job):
    """A frame whose window waits for a thread."""

    engine: "CpuEngine"
    window: Ready | None = None  # None for a filter, which needs the frame alone

    def abandon(self) -> None:
        """Cancels the frame, and those that need what its window leaves: the engine is closed."""
        if not self.upscaled.cancelled() and self.upscaled.cancel():
            self.upscaled.set_running_or_notify_cancel()  # or what waits for it would not return
        if self.window is not None and self.window.link is not None:
            self.window.link.abandon()


def cpu_pool(workers: int, max_batch: int = 1, max_wait_s: float = 0.0) -> ThreadPool[CpuJob]:
    """Returns threads for any number of CPU engines.

    A window is a batch of its own: two in one thread would leave another thread idle.
    """
    return ThreadPool(workers, Scheduler(max_batch, max_wait_s), _run_jobs, CpuJob.abandon)


def _run_jobs(jobs: list[CpuJob]) -> None:
    try:
        jobs[0].engine.run(jobs)
    except Exception as error:  # whatever it is belongs to the streams that wait for it
        for job in jobs:
            if not job.upscaled.done():
                job.upscaled.set_exception(error)


class CpuEngine:
    """A loaded model; its windows run in ``pool``, beside those of other engines."""

    def __init__(
        self, model: SlidingWindow, device: torch.device, pool: ThreadPool[CpuJob]
    ) -> None:
        self.model = model
        self.device = device
        self.workers = pool.workers
        self._pool = pool

    def stream(
        self, name: str, meter: Meter, emit: Emit, *, beside: EngineStream | None = None
    ) -> EngineStream:
        return CpuEngineStream(self, name, meter, emit, beside)

    def submit(self, job: CpuJob) -> Future[Frame]:
        """Queues a job. Raises RuntimeError where the pool is closed."""
        shape = job.window and tuple(job.window.window.shape)
        self._pool.submit(job.stream.account, (self, shape), job)
        return job.upscaled

    def run(self, jobs: Sequence[CpuJob]) -> None:
        """Runs windows of one shape as one batch, and settles every job's future."""
        windows = [job.window for job in jobs if job.window is not None]
        outputs = self._attempted(jobs, lambda: self.model.run(windows))
        for number, job in enumerate(jobs):
            self._settle(job, None if outputs is None else outputs[number][1])

    def _attempted(self, jobs: Sequence[CpuJob], work: Callable[[], T]) -> T | None:
        """What the network's ``work`` on some jobs gives, charged to their streams.

        None where the network failed.
        """
        started = thread_time()
        try:
            with torch.inference_mode():
                return work()
        except RuntimeError as error:
            for job in jobs:
                job.stream.failed(network_failure(error))
            return None
        finally:
            spent = (thread_time() - started) / len(jobs)
            for job in jobs:
                job.stream.meter.charge("network", spent)

    def _settle(self, job: CpuJob, output: Tensor | None) -> None:
        """Hands out a job's frame, made of the network's output; None: there is none."""
        with job.stream.meter.stage("finish"):
            job.upscaled.set_result(self._finished(job, output))

    def _finished(self, job: CpuJob, output: Tensor | None) -> Frame:
        frame, facts = job.frame, self.model.facts
        if output is None:
            return enlarge_frame(frame, facts.scale)
        with torch.inference_mode():
            output = output[:, : frame.height * facts.scale, : frame.width * facts.scale].float()
            if not bool(torch.isfinite(output.sum())):
                job.stream.failed("the network gave values that are not finite")
                return enlarge_frame(frame, facts.scale)
            planes = network_output(output, frame, facts.colour, facts.scale)
        return replace(frame, planes=planes)


class CpuEngineStream(EngineStream):
    """One stream through the engine; what is pending waits for its window to be complete."""

    _engine: CpuEngine
    _state: WindowState | None = None

    def flush(self) -> list[Future[Frame]]:
        """Ends what was pushed so far: returns every frame still pending."""
        if self._state is None:
            return []
        return self._submit(self._engine.model.drain(self._state, 0))

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        model = self._engine.model
        pixels = network_input(frame, model.facts.colour, self._engine.device)
        pixels = _padded(pixels, model.facts.multiple)
        if self._state is None or self._state.ring.shape[3:] != pixels.shape[1:]:
            self._state = model.start(1, *pixels.shape[1:])
        self._pending.append(frame)
        return self._submit(model.push(pixels[None], self._state))

    def _submit(self, windows: Sequence[Ready]) -> list[Future[Frame]]:
        engine = self._engine
        return [engine.submit(CpuJob(self, self._pending.popleft(), engine, w)) for w in windows]


def _padded(pixels: Tensor, multiple: int) -> Tensor:
    """Pads the right and the bottom to multiples, the edge pixel repeated."""
    down, across = (-side % multiple for side in pixels.shape[1:])
    return F.pad(pixels, (0, across, 0, down), mode="replicate") if down or across else pixels
