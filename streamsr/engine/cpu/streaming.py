"""The CPU engine of streaming networks: what a frame brings is done when it is there.

A frame's features are made in any thread as soon as it comes. Then the windows that it completes
run, each once all that it needs is done, and after them what later windows need of the frame is
done ahead, before the next one comes. No thread waits for another.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import cv2
import torch

from streamsr.core.events import Emit
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import EngineStream
from streamsr.engine.cpu.engine import CpuEngine, CpuEngineStream, CpuJob
from streamsr.networks.sliding import Ready
from streamsr.networks.streamed import FrameArrival

__all__ = ["CpuStreamingEngine"]

Done = Future[None]


class CpuStreamingEngine(CpuEngine):
    """A loaded streaming model; its windows run in ``pool``, and what can be done before them."""

    def stream(
        self,
        name: str,
        meter: Meter,
        emit: Emit,
        *,
        beside: EngineStream | None = None,
        target: TargetSize | None = None,
    ) -> EngineStream:
        return _CpuStreamingStream(self, name, meter, emit, beside, target)

    def run(self, job: CpuJob) -> None:
        if isinstance(job, _AheadJob):
            job.run()
        else:
            super().run(job)


@dataclass(slots=True, eq=False, kw_only=True)
class _AheadJob(CpuJob):
    """Work on its frame that windows need, and that settles no frame."""

    work: Callable[[], None]
    done: Done = field(default_factory=Future)

    def run(self) -> None:
        try:
            with self.stream.meter.stage("network"), torch.inference_mode():
                self.work()
        except (RuntimeError, cv2.error):
            pass  # the windows that need it try again, and report it
        finally:
            self.done.set_result(None)

    def abandon(self) -> None:
        self.done.cancel()


class _CpuStreamingStream(CpuEngineStream):
    """One stream through the engine, and what is not done yet of its last frames."""

    _newest: Frame

    def __init__(
        self,
        engine: CpuEngine,
        name: str,
        meter: Meter,
        emit: Emit,
        beside: EngineStream | None,
        target: TargetSize | None,
    ) -> None:
        super().__init__(engine, name, meter, emit, beside, target)
        window = engine.model.facts.window
        self._begun: deque[Done] = deque(maxlen=window)
        self._aligned: deque[Done] = deque(maxlen=window)

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        self._newest = frame
        return super()._take(frame)

    def _submit(self, windows: Sequence[Ready]) -> list[Future[Frame]]:
        engine = self._engine
        assert self._state is not None  # what is pushed and what is drained has one
        arrival = engine.model.arrival(self._state, 0)
        if arrival is not None:
            begin = self._ahead(arrival.begin)
            self._begun.append(begin.done)
            engine.submit(begin)
        jobs = [CpuJob(self, self._pending.popleft(), engine, window) for window in windows]
        for job in jobs:
            _Waiting(job, [*self._begun, *self._aligned])
        if arrival is None:  # the stream is at its end
            self._begun.clear()
            self._aligned.clear()
        else:
            self._align(arrival)
        return [job.upscaled for job in jobs]

    def _align(self, arrival: FrameArrival) -> None:
        if arrival.pairs:
            align = self._ahead(arrival.align)
            self._aligned.append(align.done)
            _Waiting(align, self._begun)

    def _ahead(self, work: Callable[[], None]) -> _AheadJob:
        return _AheadJob(self, self._newest, self._engine, work=work)


class _Waiting:
    """A job that is submitted once all that it needs is done, whichever thread did it."""

    def __init__(self, job: CpuJob, needs: Collection[Done]) -> None:
        self._job: CpuJob | None = job  # until then: futures keep their callbacks
        self._left = len(needs) + 1
        self._lock = threading.Lock()
        for done in needs:
            done.add_done_callback(self._count)
        self._count(None)

    def _count(self, done: Done | None) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        job, self._job = self._job, None
        assert job is not None
        try:
            job.engine.submit(job)
        except RuntimeError:  # the engine is closed
            job.abandon()
