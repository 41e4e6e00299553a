"""The engine of a CPU: frames of many streams in, upscaled frames out, in each stream's order.

Whole windows run side by side, one thread each: threads inside one convolution would
wait for each other at every layer, and on a busy machine that costs more than they win.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from time import thread_time

import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.core.events import Emit
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream
from streamsr.engine.colour import network_input, network_output
from streamsr.engine.discontinuity import DiscontinuityDetector
from streamsr.engine.job import Job
from streamsr.engine.resample import scaled_plainly
from streamsr.engine.thread_pool import ThreadPool
from streamsr.networks.sliding import Ready, SlidingWindow, WindowState

__all__ = ["CpuEngine", "CpuEngineStream", "WindowJob"]


@dataclass(frozen=True, slots=True, eq=False)
class WindowJob(Job):
    """One window on its way through a network."""

    window: Ready
    failed: Callable[[str], None]


class CpuEngine:
    """A loaded model on a device; its windows run in ``pool``, beside those of other engines."""

    def __init__(self, model: SlidingWindow, device: torch.device, pool: ThreadPool[Job]) -> None:
        self.model = model
        self.device = device
        self.workers = pool.workers
        self._pool = pool

    def stream(
        self, name: str, meter: Meter, emit: Emit, *, beside: EngineStream | None = None
    ) -> "CpuEngineStream":
        return CpuEngineStream(self, name, meter, emit, beside)

    def submit(self, stream: object, job: WindowJob) -> None:
        shape = tuple(job.window.window.shape)
        self._pool.submit(stream, (self, shape), job)

    def run(self, jobs: Sequence[WindowJob]) -> None:
        """Run windows of one shape as one batch, and settle every job's future."""
        started = thread_time()
        outputs = self._outputs(jobs)
        spent = (thread_time() - started) / len(jobs)
        for job, output in zip(jobs, outputs, strict=True):
            job.meter.charge("network", spent)
            self.settle(job, output)

    def settle(self, job: WindowJob, output: Tensor | None) -> None:
        """Give a job its frame, made of the network's output; None: there is none."""
        with job.meter.stage("finish"):
            job.upscaled.set_result(self._finished(job, output))

    def _outputs(self, jobs: Sequence[WindowJob]) -> Sequence[Tensor | None]:
        try:
            finished = self.model.run([job.window for job in jobs])
        except RuntimeError as error:  # torch's for all that goes wrong, a full memory included
            reason = str(error).splitlines()[0]
            for job in jobs:
                job.failed(f"the network failed: {reason}")
            return [None] * len(jobs)
        return [output.float() for _, output in finished]

    def _finished(self, job: WindowJob, output: Tensor | None) -> Frame:
        frame, facts = job.frame, self.model.facts
        if output is None:
            return scaled_plainly(frame, facts.scale)
        with torch.inference_mode():
            output = output[:, : frame.height * facts.scale, : frame.width * facts.scale]
            if not bool(torch.isfinite(output.sum())):
                job.failed("the network gave values that are not finite")
                return scaled_plainly(frame, facts.scale)
            planes = network_output(output, frame, facts.colour, facts.scale)
        return replace(frame, planes=planes)


class CpuEngineStream(EngineStream):
    """One stream through the engine; what is pending waits for its window to be whole."""

    def __init__(
        self,
        engine: CpuEngine,
        name: str,
        meter: Meter,
        emit: Emit,
        beside: EngineStream | None = None,
    ) -> None:
        super().__init__(name, meter, emit, beside)
        self._engine = engine
        self._breaks = DiscontinuityDetector(
            engine.model.facts.window, recurrent=engine.model.recurrent
        )
        self._pending: deque[Frame] = deque()  # pushed, but their window is not complete
        self._state: WindowState | None = None
        self._size = (0, 0)

    def push(self, frame: Frame) -> list[Future[Frame]]:
        """Take a frame; give what it completes, each done when its future is."""
        model, device = self._engine.model, self._engine.device
        with self._meter.stage("prepare"):
            pixels = network_input(frame, model.facts.colour, device)
            pixels = _padded(pixels, model.facts.multiple)
            done = self.flush() if self._breaks.starts_anew(frame) else []
            if self._state is None or self._size != (frame.height, frame.width):
                self._size = (frame.height, frame.width)
                self._state = model.start(1, *pixels.shape[1:])
            self._pending.append(frame)
            ready = model.push(pixels[None], self._state)
        return done + self._submit(ready)

    def flush(self) -> list[Future[Frame]]:
        """End what was pushed so far: give every frame still pending."""
        if self._state is None:
            return []
        return self._submit(self._engine.model.drain(self._state, 0))

    def _submit(self, ready: Sequence[Ready]) -> list[Future[Frame]]:
        return [self._begin(window) for window in ready]

    def _begin(self, window: Ready) -> Future[Frame]:
        upscaled: Future[Frame] = Future()
        frame = self._pending.popleft()
        job = WindowJob(self._engine, frame, self._meter, upscaled, window, self._failed)
        self._engine.submit(self.account, job)
        return upscaled


def _padded(pixels: Tensor, multiple: int) -> Tensor:
    """Pad the right and the bottom to multiples, the edge pixel repeated."""
    down, across = (-side % multiple for side in pixels.shape[1:])
    return F.pad(pixels, (0, across, 0, down), mode="replicate") if down or across else pixels
