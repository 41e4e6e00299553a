"""The engine of a CPU: frames of many streams in, upscaled frames out, in each stream's order.

Whole windows run side by side, one thread each: threads inside one convolution would
wait for each other at every layer, and on a busy machine that costs more than they win.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.core.frame import Frame
from streamsr.engine.base import EngineStream, Job, StreamRequest, network_failure
from streamsr.engine.colour import network_input, network_output
from streamsr.engine.resample import resize_frame
from streamsr.engine.thread_pool import ThreadPool
from streamsr.engine.threads import one_thread_here
from streamsr.networks.chain import is_finite
from streamsr.networks.contract import Memory
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


def cpu_pool(workers: int) -> ThreadPool[CpuJob]:
    """Returns threads for any number of CPU engines."""
    return ThreadPool(workers, _run, lambda job: job.abandon(), one_thread_here)


def _run(job: CpuJob) -> None:
    if job.upscaled.cancelled():  # nobody waits for it any more
        job.abandon()
        return
    try:
        job.engine.run(job)
    except Exception as error:  # whatever it is belongs to the stream that waits for it
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

    def stream(self, request: StreamRequest) -> EngineStream:
        return CpuEngineStream(self, request)

    def submit(self, job: CpuJob) -> Future[Frame]:
        """Queues a job. Raises EngineClosedError where the pool is closed."""
        self._pool.submit(job.stream.account, job)
        return job.upscaled

    def run(self, job: CpuJob) -> None:
        """Runs a job's window, and settles its future."""
        assert job.window is not None
        window = job.window
        finished = self._attempted(job, lambda: self.model.run([window]))
        self._settle(job, None if finished is None else finished[0][1])

    def _attempted(self, job: CpuJob, work: Callable[[], T]) -> T | None:
        """What the network's ``work`` on a job gives; None where the network failed."""
        with job.stream.meter.stage("network"), torch.inference_mode():
            try:
                return work()
            except (RuntimeError, cv2.error) as error:
                job.stream.failed(network_failure(error))
                return None

    def _settle(self, job: CpuJob, output: Tensor | None) -> None:
        """Hands out a job's frame, made of the network's output; None: there is none."""
        with job.stream.meter.stage("finish"):
            job.upscaled.set_result(self._finished(job, output))

    def _finished(self, job: CpuJob, output: Tensor | None) -> Frame:
        frame, facts = job.frame, self.model.facts
        if output is None:
            return resize_frame(frame, *job.size)
        with torch.inference_mode():
            output = output[:, : frame.height * facts.scale, : frame.width * facts.scale]
            if not is_finite(output):
                job.stream.failed("the network gave values that are not finite")
                return resize_frame(frame, *job.size)
            planes = network_output(output, frame, facts.colour, job.size)
        return replace(frame, planes=planes)


class CpuEngineStream(EngineStream):
    """One stream through the engine; what is pending waits for its window to be complete."""

    _engine: CpuEngine
    _state: WindowState | None = None

    def memory(self) -> Sequence[Future[Memory]]:
        memory = None if self._state is None else self._engine.model.memory(self._state, 0)
        return () if memory is None else (memory,)

    def restore(self, memory: Sequence[Memory]) -> Sequence[Future[Frame]]:
        if self._state is not None and memory:
            self._engine.model.restore(self._state, 0, memory[0])
        return ()

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
