"""The engine: frames of many streams in, upscaled frames out, in each stream's order.

On a CPU whole windows run side by side, one thread each: threads inside one convolution would
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

from streamsr.engine.colour import network_input, network_output
from streamsr.engine.cuts import CutDetector
from streamsr.engine.pool import Pool
from streamsr.events import Code, Emit, Event
from streamsr.frame import Frame
from streamsr.metrics import Meter
from streamsr.networks.resample import resize
from streamsr.networks.sliding import Ready, SlidingWindow, WindowState

__all__ = ["Engine", "EngineStream", "Job", "run_jobs"]

GAP_S = 1.0  # between two frames: the second has nothing to do with the first


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One window on its way through a network, and where its frame is to go."""

    engine: "Engine"
    window: Ready
    frame: Frame
    meter: Meter
    failed: Callable[[str], None]
    upscaled: Future[Frame]

    def abandon(self) -> None:
        self.upscaled.cancel()


class Engine:
    """A loaded model on a device; its windows run in ``pool``, beside those of other engines."""

    def __init__(self, model: SlidingWindow, device: torch.device, pool: Pool[Job]) -> None:
        self.model = model
        self.device = device
        self.workers = pool.workers
        self._pool = pool

    def stream(self, name: str, meter: Meter, emit: Emit) -> "EngineStream":
        return EngineStream(self, name, meter, emit)

    def submit(self, stream: object, job: Job) -> None:
        shape = tuple(job.window[1].shape)
        self._pool.submit(stream, (self, shape), job)

    def run(self, jobs: Sequence[Job]) -> None:
        """Run windows of one shape as one batch, and settle every job's future."""
        started = thread_time()
        outputs = self._outputs(jobs)
        spent = (thread_time() - started) / len(jobs)
        for job, output in zip(jobs, outputs, strict=True):
            job.meter.charge("network", spent)
            job.upscaled.set_result(self._finished(job, output))

    def _outputs(self, jobs: Sequence[Job]) -> list[Tensor]:
        try:
            finished = self.model.run([job.window for job in jobs])
        except RuntimeError as error:  # torch's for all that goes wrong, a full memory included
            reason = str(error).splitlines()[0]
            for job in jobs:
                job.failed(f"the network failed: {reason}")
            return [self._plain(job.frame) for job in jobs]
        return [output.float() for _, output in finished]

    def _finished(self, job: Job, output: Tensor) -> Frame:
        frame, facts = job.frame, self.model.facts
        height, width = frame.height * facts.scale, frame.width * facts.scale
        with job.meter.stage("finish"), torch.inference_mode():
            output = output[:, :height, :width]
            if not bool(torch.isfinite(output.sum())):
                job.failed("the network gave values that are not finite")
                output = self._plain(frame)[:, :height, :width]
            planes = network_output(output, frame, facts.colour, facts.scale)
        return replace(frame, planes=planes)

    def _plain(self, frame: Frame) -> Tensor:
        facts = self.model.facts
        return resize(network_input(frame, facts.colour, self.device), facts.scale)


def run_jobs(jobs: list[Job]) -> None:
    """What a pool thread does with a batch, all of one engine."""
    try:
        jobs[0].engine.run(jobs)
    except Exception as error:  # whatever it is belongs to the streams that wait for it
        for job in jobs:
            if not job.upscaled.done():
                job.upscaled.set_exception(error)


class EngineStream:
    """One stream through the engine: every frame pushed comes out once, in order.

    A frame marked ``discontinuous``, a scene cut and a change of size flush what is pending and
    reset the state, so that no window reaches across. One thread may push.
    """

    def __init__(self, engine: Engine, name: str, meter: Meter, emit: Emit) -> None:
        self._engine = engine
        self._name = name
        self._meter = meter
        self._emit = emit
        self._cuts = CutDetector()
        self._pending: deque[Frame] = deque()  # pushed, but their window is not complete
        self._state: WindowState | None = None
        self._size = (0, 0)
        self._newest_s: float | None = None  # the time of the frame pushed last

    def push(self, frame: Frame) -> list[Future[Frame]]:
        """Take a frame; give what it completes, each done when its future is."""
        model, device = self._engine.model, self._engine.device
        with self._meter.stage("prepare"):
            pixels = network_input(frame, model.facts.colour, device)
            pixels = _padded(pixels, model.facts.multiple)
            done = self.flush() if self._broken(frame) else []
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

    def _broken(self, frame: Frame) -> bool:
        resized = self._size != (frame.height, frame.width)
        apart = self._newest_s is not None and not 0 < frame.time_s - self._newest_s <= GAP_S
        self._newest_s = frame.time_s
        if resized or apart or frame.discontinuous:
            self._cuts.reset()
        if self._engine.model.facts.window == 1:
            return resized  # a window of one frame reaches across nothing
        luma = frame.planes[0][..., 1] if frame.is_rgb else frame.planes[0]
        return self._cuts.is_cut(luma) or resized or apart or frame.discontinuous

    def _submit(self, ready: Sequence[Ready]) -> list[Future[Frame]]:
        return [self._begin(window) for window in ready]

    def _begin(self, window: Ready) -> Future[Frame]:
        upscaled: Future[Frame] = Future()
        frame = self._pending.popleft()
        job = Job(self._engine, window, frame, self._meter, self._failed, upscaled)
        self._engine.submit(self, job)
        return upscaled

    def _failed(self, reason: str) -> None:
        self._meter.count("failed")
        self._emit(Event(Code.SR_FAILED, self._name, f"{reason}; the frame is scaled plainly"))


def _padded(pixels: Tensor, multiple: int) -> Tensor:
    """Pad the right and the bottom to multiples, the edge pixel repeated."""
    down, across = (-side % multiple for side in pixels.shape[1:])
    return F.pad(pixels, (0, across, 0, down), mode="replicate") if down or across else pixels
