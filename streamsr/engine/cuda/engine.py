"""The engine of a device that works by itself: three lanes over a ring of slots.

Each stream's own thread fills a slot and asks for its upload. The dispatcher takes a batch of
windows and asks for the rest. The finisher waits for each picture, hands it out and frees its
slot. The device does the work in the order of the marks of ``slots.py``: the first two never wait
for it, but for a slot, and nothing is allocated for a frame.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from time import monotonic, thread_time
from weakref import WeakSet

import torch

from streamsr.core.closing import Closing
from streamsr.core.events import Emit
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream
from streamsr.engine.cuda.compute import Arrival, Compute, Job
from streamsr.engine.cuda.device import Device
from streamsr.engine.cuda.slots import BATCHES_AHEAD, Lane, Step
from streamsr.engine.cuda.track import Layout, Track
from streamsr.engine.discontinuity import DiscontinuityDetector
from streamsr.engine.resample import scaled_plainly
from streamsr.engine.scheduler import Scheduler
from streamsr.networks.sliding import SlidingWindow
from streamsr.networks.window import Window

__all__ = ["CudaEngine", "CudaEngineStream"]


class CudaEngine(Closing):
    """A device and a loaded model. ``with`` it: leaving ends its threads.

    ``slots`` frames of a stream may be under way at once, beside those whose window is not whole
    yet. Windows of one size make a batch, of ``max_batch`` at most; where there are several
    streams, one waits ``patience_s`` for the others.
    """

    def __init__(
        self,
        model: SlidingWindow,
        device: Device,
        *,
        slots: int = 6,
        max_batch: int = 8,
        patience_s: float = 0.002,
    ) -> None:
        self.model = model
        self.device = device.place
        self.workers = slots
        self._on = device
        self._lanes = {lane: device.stream() for lane in Lane}
        self._compute = Compute(model, device, self._lanes[Lane.COMPUTE], max_batch)
        self._patience_s = patience_s
        self._batcher: Scheduler[Job] = Scheduler(max_batch, patience_s)
        self._streams: WeakSet[CudaEngineStream] = WeakSet()
        self._under_way = 0  # batches asked for and not delivered
        self._closed = False
        self._failure: Exception | None = None  # what the device failed of: for good
        self._sent: SimpleQueue[list[Job] | None] = SimpleQueue()  # to the finisher
        self._books = threading.Lock()  # over all books, those of tracks too
        self._work = threading.Condition(self._books)  # the dispatcher may have some
        self._freed = threading.Condition(self._books)  # a slot, or there will be none
        self._threads = [
            threading.Thread(target=target, name=f"streamsr-engine-{name}", daemon=True)
            for name, target in (("dispatcher", self._dispatch), ("finisher", self._finish))
        ]
        for thread in self._threads:
            thread.start()

    def stream(
        self, name: str, meter: Meter, emit: Emit, *, beside: EngineStream | None = None
    ) -> "CudaEngineStream":
        stream = CudaEngineStream(self, name, meter, emit, beside)
        if beside is not None:
            return stream
        with self._books:
            self._streams.add(stream)
            self._batcher.patience_s = self._patience_s if len(self._streams) > 1 else 0.0
        return stream

    def close(self) -> None:
        """End the threads, what was submitted finished. Closing twice does nothing."""
        with self._books:
            self._closed = True
            self._work.notify()
            self._freed.notify_all()
        for thread in self._threads:
            thread.join()

    def track(self, layout: Layout) -> Track:
        """Allocate what a stream needs for frames of ``layout``."""
        track = Track(self._on, layout, self.model.facts, self._compute.pixels, self.workers)
        self._lanes[Lane.COMPUTE].do(lambda: self._compute.prepare(track))
        return track

    def upload(self, track: Track, frame: Frame) -> int:
        """Have a frame copied in; give its slot, as soon as one is free."""
        with self._books:
            while (slot := track.slots.take()) is None:
                self._check()
                self._freed.wait()
            self._check()
        track.memory[slot].fill(frame)
        with self._books:
            step = track.slots.upload(slot)
        self._ask([(track, step)], track.memory[slot].upload)
        return slot

    def submit(self, stream: "CudaEngineStream", job: Job) -> None:
        """Let a window wait for its batch."""
        with self._books:
            self._check()
            self._batcher.add(stream.account, job.track.pixels, job, monotonic())
            self._work.notify()

    def _check(self) -> None:
        if self._failure is not None:
            raise RuntimeError(f"the device failed: {self._failure}") from self._failure
        if self._closed:
            raise RuntimeError("the engine is closed")

    def _ask(self, steps: Sequence[tuple[Track, Step]], work: Callable[[], None]) -> None:
        """Have a lane do the work of some of its steps together."""
        stream = self._lanes[steps[0][1].lane]
        for track, step in steps:
            for slot, lane in step.waits:
                stream.wait(track.memory[slot].events[lane])
        stream.do(work)
        for track, step in steps:
            stream.record(track.memory[step.slot].events[step.lane])

    def _dispatch(self) -> None:
        """The dispatcher's thread."""
        while (jobs := self._next()) is not None:
            started = thread_time()
            try:
                self._launch(jobs)
            except Exception as error:  # whatever it is belongs to the streams that wait for it
                self._fail(jobs, error)
            for job in jobs:
                job.meter.charge("network", (thread_time() - started) / len(jobs))
            self._sent.put(jobs)
        self._sent.put(None)

    def _next(self) -> list[Job] | None:
        """Wait for the next batch; None once the engine is closed and nothing waits."""
        with self._books:
            while True:
                now_s = float("inf") if self._closed else monotonic()
                room = self._under_way < BATCHES_AHEAD
                if room and (jobs := self._batcher.take(now_s)):
                    self._under_way += 1
                    return jobs
                if self._closed and not len(self._batcher):
                    return None
                due_s = self._batcher.due_s() if room else None
                self._work.wait(None if due_s is None else max(0.0, due_s - now_s))

    def _launch(self, jobs: list[Job]) -> None:
        with self._books:
            computes = [
                (job.track, job.track.slots.compute(job.slot, [a.slot for a in job.arrivals]))
                for job in jobs
            ]
            downloads = [(job.track, job.track.slots.download(job.slot)) for job in jobs]
        self._ask(computes, lambda: self._compute.run(jobs))
        for job, step in zip(jobs, downloads, strict=True):
            self._ask([step], job.memory.download)

    def _finish(self) -> None:
        """The finisher's thread."""
        while (jobs := self._sent.get()) is not None:
            for job in jobs:
                if not job.upscaled.done():
                    self._deliver(job)
            with self._books:
                self._under_way -= 1
                self._work.notify()

    def _deliver(self, job: Job) -> None:
        try:
            job.memory.events[Lane.DOWNLOAD].synchronize()
            with job.meter.stage("finish"):
                job.upscaled.set_result(self._finished(job))
        except Exception as error:  # the device's, most likely: nothing after it will do
            self._fail([job], error)

    def _finished(self, job: Job) -> Frame:
        planes = None if job.failure else job.memory.taken()
        with self._books:
            job.track.slots.free(job.slot)
            self._freed.notify_all()
        if planes is not None:
            return replace(job.frame, planes=planes)
        job.failed(job.failure or "the network gave values that are not finite")
        return scaled_plainly(job.frame, self.model.facts.scale)

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        """End the jobs and all that would come after them: their process must be replaced."""
        with self._books:
            self._failure = self._failure or error
            self._freed.notify_all()
        for job in jobs:
            if not job.upscaled.done():
                job.upscaled.set_exception(error)


class CudaEngineStream(EngineStream):
    """One stream through the engine; what is pending waits for its window to be whole."""

    def __init__(
        self,
        engine: CudaEngine,
        name: str,
        meter: Meter,
        emit: Emit,
        beside: EngineStream | None = None,
    ) -> None:
        super().__init__(name, meter, emit, beside)
        self._engine = engine
        facts = engine.model.facts
        self._breaks = DiscontinuityDetector(facts.window, recurrent=engine.model.recurrent)
        self._window = Window(facts.window, facts.lookahead)
        self._track: Track | None = None  # of the size of the frame pushed last
        self._arrivals: list[Arrival] = []  # uploaded, and no job's yet
        self._pending: deque[tuple[int, Frame]] = deque()  # slots whose window is not whole
        self._first = True  # the next window: it has nothing to do with those before it

    def push(self, frame: Frame) -> list[Future[Frame]]:
        """Take a frame; give what it completes, each done when its future is.

        Blocks while all slots are under way. Raises RuntimeError where the engine is closed or
        its device failed.
        """
        with self._meter.stage("prepare"):
            layout = Layout.of(frame)
            other = self._track is None or self._track.layout != layout
            done = self.flush() if self._breaks.starts_anew(frame) or other else []
            track = self._track_of(layout)
            if track is None:
                return [*done, self._without_device(frame)]
            slot = self._engine.upload(track, frame)
            position, windows = self._window.push()
            self._arrivals.append(Arrival(slot, position, frame.colour))
            self._pending.append((slot, frame))
            return done + self._submit(windows)

    def flush(self) -> list[Future[Frame]]:
        """End what was pushed so far: give every frame still pending."""
        done = self._submit(self._window.flush())
        self._first = True
        return done

    def _track_of(self, layout: Layout) -> Track | None:
        """The stream's track, another one where the layout is; None where there is no room."""
        if self._track is None or self._track.layout != layout:
            self._track = None  # first, since its memory may serve again
            with suppress(torch.OutOfMemoryError):
                self._track = self._engine.track(layout)
        return self._track

    def _submit(self, windows: Sequence[tuple[int, ...]]) -> list[Future[Frame]]:
        return [self._begin(window) for window in windows]

    def _begin(self, window: tuple[int, ...]) -> Future[Frame]:
        assert self._track is not None  # a window is of frames, and they are in a track
        slot, frame = self._pending.popleft()
        arrivals, self._arrivals = tuple(self._arrivals), []
        job = Job(
            self._track, slot, frame, arrivals, window, self._first, self._meter, self._failed
        )
        self._first = False
        job.upscaled.set_running_or_notify_cancel()  # nobody may cancel it: it holds a slot
        self._engine.submit(self, job)
        return job.upscaled

    def _without_device(self, frame: Frame) -> Future[Frame]:
        """Scale a frame plainly, here; the next one may find the device with more room."""
        self._failed("the device's memory is full")
        upscaled: Future[Frame] = Future()
        upscaled.set_result(scaled_plainly(frame, self._engine.model.facts.scale))
        return upscaled
