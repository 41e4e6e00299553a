"""The engine of a device that works by itself: three lanes over a ring of slots.

Each stream's own thread finds what moved in a frame, where the network is recurrent, fills a slot
and launches its upload. The dispatcher takes a batch of windows and launches the rest. The finisher
waits for each output, hands it out and frees its slot. The device orders the work by the
dependencies of ``slots.py``: the first two never wait for it, but for a slot, and none of its
memory is allocated for a frame.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from queue import SimpleQueue
from time import monotonic, thread_time
from weakref import WeakSet

import torch

from streamsr.core.errors import EngineClosedError
from streamsr.core.frame import Frame
from streamsr.engine.base import IS_FULL, EngineStream, StreamRequest
from streamsr.engine.cuda.compute import Compute
from streamsr.engine.cuda.device import Device
from streamsr.engine.cuda.job import CudaJob, charge_gpu, job_of
from streamsr.engine.cuda.slots import BATCHES_AHEAD, Lane, Operation
from streamsr.engine.cuda.track import DeviceTrack, Layout
from streamsr.engine.resample import resize_frame
from streamsr.engine.scheduler import Scheduler
from streamsr.networks.sliding import SlidingWindow

__all__ = ["AGAIN_S", "CudaEngine", "CudaEngineStream"]

AGAIN_S = 2.0  # after a track found no memory


class CudaEngine(AbstractContextManager["CudaEngine"]):
    """A device and a loaded model; leaving its context ends its threads.

    ``slots`` frames of a stream may be in flight at once, beside those whose window is not complete
    yet. Windows of one size make a batch, of ``max_batch`` at most; where there are several
    streams, one waits ``max_wait_s`` for the others. ``clock`` gives monotonic seconds, by which
    what a full memory had no room for is tried again.
    """

    def __init__(
        self,
        model: SlidingWindow,
        device: Device,
        *,
        slots: int = 6,
        max_batch: int = 8,
        max_wait_s: float = 0.002,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.model = model
        self.device = device.place
        self.workers = slots
        self._on = device
        self.clock = clock
        self._lanes = {lane: device.stream() for lane in Lane}
        self._compute = Compute(model, device, self._lanes[Lane.COMPUTE], max_batch, clock)
        self._max_wait_s = max_wait_s
        self._scheduler: Scheduler[CudaJob] = Scheduler(max_batch, max_wait_s)
        self._streams: WeakSet[EngineStream] = WeakSet()
        self._in_flight = 0  # batches launched and not delivered
        self._closed = False
        self._failure: Exception | None = None  # what the device failed of: it stays failed
        self._launched: SimpleQueue[list[CudaJob] | None] = SimpleQueue()  # to the finisher
        self._lock = threading.Lock()  # over all of this, and the slots of tracks
        self._work = threading.Condition(self._lock)  # the dispatcher may have some
        self._freed = threading.Condition(self._lock)  # a slot, or there will be none
        self._threads = [
            threading.Thread(target=target, name=f"streamsr-engine-{name}", daemon=True)
            for name, target in (("dispatcher", self._dispatch), ("finisher", self._finish))
        ]
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def stream(self, request: StreamRequest) -> EngineStream:
        stream = CudaEngineStream(self, request)
        if request.beside is None:
            with self._lock:
                self._streams.add(stream)
                self._scheduler.max_wait_s = self._max_wait_s if len(self._streams) > 1 else 0.0
        return stream

    def close(self) -> None:
        """Ends the threads, what was submitted finished. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            self._work.notify()
            self._freed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def track(self, layout: Layout, size: tuple[int, int]) -> DeviceTrack:
        """Allocates what a stream needs for frames of ``layout`` that become ``size``.

        Raises torch.OutOfMemoryError.
        """
        pixels = self._compute.pixels
        track = DeviceTrack(self._on, layout, self.model, pixels, self.workers, size)
        self._lanes[Lane.COMPUTE].launch(lambda: self._compute.prepare(track))
        return track

    def upload(self, track: DeviceTrack, frame: Frame) -> int:
        """Launches the upload of a track's next frame as soon as a slot is free; returns the slot.

        Raises RuntimeError where the engine is closed or its device failed.
        """
        motion = track.motion.of(frame, starts_chain=track.starts_chain)
        with self._lock:
            while (slot := track.slots.take()) is None:
                self._check()
                self._freed.wait()
            self._check()
        track.memory[slot].fill(frame, motion)
        with self._lock:
            operation = track.slots.upload(slot)
        self._launch([(track, operation)], track.memory[slot].upload)
        return slot

    def submit(self, job: CudaJob) -> Future[Frame]:
        """Queues a window for its batch. Raises RuntimeError as ``upload`` does."""
        job.upscaled.set_running_or_notify_cancel()  # nobody may cancel it: it holds a slot
        with self._lock:
            self._check()
            self._scheduler.add(job.stream.account, job.track.kind, job, monotonic())
            self._work.notify()
        return job.upscaled

    def _check(self) -> None:
        if self._failure is not None:
            raise RuntimeError(f"the device failed: {self._failure}") from self._failure
        if self._closed:
            raise EngineClosedError("the engine is closed")

    def _launch(
        self, operations: Sequence[tuple[DeviceTrack, Operation]], work: Callable[[], None]
    ) -> None:
        """Launches the work of some of a lane's operations together."""
        stream = self._lanes[operations[0][1].lane]
        for track, operation in operations:
            for slot, lane in operation.waits:
                stream.wait_event(track.memory[slot].events[lane])
        stream.launch(work)
        for track, operation in operations:
            stream.record_event(track.memory[operation.slot].events[operation.lane])

    def _dispatch(self) -> None:
        """The dispatcher's thread."""
        while (jobs := self._next()) is not None:
            started, jobs[0].launched_s = thread_time(), monotonic()
            try:
                self._run(jobs)
            except Exception as error:  # whatever it is belongs to the streams that wait for it
                self._fail(jobs, error)
            for job in jobs:
                job.stream.meter.charge("network", (thread_time() - started) / len(jobs))
            self._launched.put(jobs)
        self._launched.put(None)

    def _next(self) -> list[CudaJob] | None:
        """Waits for the next batch; None once the engine is closed and nothing waits."""
        with self._lock:
            while True:
                now_s = float("inf") if self._closed else monotonic()
                may_launch = self._in_flight < BATCHES_AHEAD
                if may_launch and (jobs := self._scheduler.take(now_s)):
                    self._in_flight += 1
                    return jobs
                if self._closed and not len(self._scheduler):
                    return None
                due_s = self._scheduler.due_s() if may_launch else None
                self._work.wait(None if due_s is None else max(0.0, due_s - now_s))

    def _run(self, jobs: list[CudaJob]) -> None:
        with self._lock:
            computes = [
                (job.track, job.track.slots.compute(job.slot, [a.slot for a in job.arrivals]))
                for job in jobs
            ]
            downloads = [(job.track, job.track.slots.download(job.slot)) for job in jobs]
        self._launch(computes, lambda: self._compute.run(jobs))
        for job, download in zip(jobs, downloads, strict=True):
            self._launch([download], job.memory.download)
        if self.model.streaming:
            self._lanes[Lane.COMPUTE].launch(lambda: self._compute.ahead(jobs))

    def _finish(self) -> None:
        """The finisher's thread."""
        served_s = 0.0  # monotonic: the batch before
        while (jobs := self._launched.get()) is not None:
            for job in jobs:
                if not job.upscaled.done():
                    self._deliver(job)
            served_s = charge_gpu(jobs, served_s)
            with self._lock:
                self._in_flight -= 1
                self._work.notify()

    def _deliver(self, job: CudaJob) -> None:
        try:
            job.memory.events[Lane.DOWNLOAD].synchronize()
            with job.stream.meter.stage("finish"):
                job.upscaled.set_result(self._finished(job))
        except Exception as error:  # the device's, most likely: nothing after it will do
            self._fail([job], error)

    def _finished(self, job: CudaJob) -> Frame:
        planes = None if job.failure else job.memory.taken()
        with self._lock:
            job.track.slots.free(job.slot)
            self._freed.notify_all()
        if planes is not None:
            return replace(job.frame, planes=planes)
        job.stream.failed(job.failure or "the network gave values that are not finite")
        return resize_frame(job.frame, *job.size)

    def _fail(self, jobs: Sequence[CudaJob], error: Exception) -> None:
        """Fails the jobs and all that would come after them: their process must be replaced."""
        with self._lock:
            self._failure = self._failure or error
            self._freed.notify_all()
        for job in jobs:
            if not job.upscaled.done():
                job.upscaled.set_exception(error)


class CudaEngineStream(EngineStream):
    """One stream through the engine; what is pending waits for its window to be complete.

    ``push`` blocks while all slots are in flight. It and ``flush`` raise RuntimeError where the
    engine is closed or its device failed.
    """

    _engine: CudaEngine
    _track: DeviceTrack | None = None  # of the layout of the frame pushed last
    _again_s = float("-inf")  # when memory for a track is asked for again

    def flush(self) -> list[Future[Frame]]:
        """Ends what was pushed so far: returns every frame still pending."""
        if self._track is None:
            return []
        done = self._submit(self._track, self._track.end())
        self._track.starts_chain = True
        return done

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        frame = frame.in_8_bits()  # which is what the kernels read and write
        track = self._track_of(Layout.of(frame), self.size_of(frame))
        if track is None:
            return [self._without_device(frame)]
        slot = self._engine.upload(track, frame)
        self._pending.append(frame)
        return self._submit(track, track.push(slot, frame.colour))

    def _track_of(self, layout: Layout, size: tuple[int, int]) -> DeviceTrack | None:
        """The stream's track, a new one where the layout is new; None where memory is short.

        Then it is tried again later: an attempt stops the whole device.
        """
        if self._track is not None and self._track.layout == layout:
            return self._track
        self._track = None  # first, since its memory may serve again
        now_s = self._engine.clock()
        if now_s >= self._again_s:
            try:
                self._track = self._engine.track(layout, size)
            except torch.OutOfMemoryError:
                self._again_s = now_s + AGAIN_S
        return self._track

    def _submit(
        self, track: DeviceTrack, windows: Sequence[tuple[int, ...]]
    ) -> list[Future[Frame]]:
        jobs = (job_of(self, self._pending.popleft(), track, window) for window in windows)
        return [self._engine.submit(job) for job in jobs]

    def _without_device(self, frame: Frame) -> Future[Frame]:
        """Resizes a frame here; a later one may find the device with more memory."""
        self.failed(IS_FULL)
        upscaled: Future[Frame] = Future()
        upscaled.set_result(resize_frame(frame, *self.size_of(frame)))
        return upscaled
