"""The CPU engine of streaming networks: what a frame brings is done when it is there.

A frame's features are made in any thread as soon as it comes. Then the windows that it completes
run, each once all that it needs is done, and after them what later windows need of the frame is
done ahead, before the next one comes. No thread waits for another.

Where memory does not suffice for that (``memory.py``), windows run in order, each aligned by all
threads, or in tiles of which nothing is kept.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import cv2
import torch

from streamsr.core.errors import EngineClosedError
from streamsr.core.frame import Frame
from streamsr.engine.base import EngineStream, StreamRequest
from streamsr.engine.cpu.engine import CpuEngine, CpuEngineStream, CpuJob
from streamsr.engine.cpu.memory import Footprint, MemoryPlan, limit_bytes, plan_for
from streamsr.engine.thread_pool import ThreadPool
from streamsr.networks.contract import Rows, StreamingNetwork
from streamsr.networks.sliding import Ready, SlidingWindow, WindowState
from streamsr.networks.streamed import FrameArrival, StreamedWindow, align
from streamsr.networks.tiles import tiles_of

__all__ = ["CpuStreamingEngine", "footprint_of"]

logger = logging.getLogger(__name__)

Done = Future[Any]

TRIAL = 16  # pixels a side of the frame whose tensors are counted, of at least as many multiples


class CpuStreamingEngine(CpuEngine):
    """A loaded streaming model; its windows run in ``pool``, and what can be done before them.

    Each stream takes ``memory`` bytes; None: as many as this machine has for it.
    """

    def __init__(
        self,
        model: SlidingWindow,
        device: torch.device,
        pool: ThreadPool[CpuJob],
        memory: int | None = None,
    ) -> None:
        super().__init__(model, device, pool)
        self._memory = memory

    def plan(self, height: int, width: int) -> MemoryPlan:
        """Returns how frames of this size run in the memory that there is."""
        network, multiple = self.model.network, self.model.facts.multiple
        assert isinstance(network, StreamingNetwork)
        limit = limit_bytes(self._memory)
        needs = self._footprint
        return plan_for(needs, (height, width), network.reach, multiple, self.workers, limit)

    @cached_property
    def _footprint(self) -> Footprint:
        return footprint_of(self.model)

    def stream(self, request: StreamRequest) -> EngineStream:
        return _CpuStreamingStream(self, request)

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

    _engine: CpuStreamingEngine
    _newest: Frame

    def __init__(self, engine: CpuStreamingEngine, request: StreamRequest) -> None:
        super().__init__(engine, request)
        window = engine.model.facts.window
        self._begun: deque[Done] = deque(maxlen=window)
        self._aligned: deque[Done] = deque(maxlen=window)
        self._windows: deque[Done] = deque(maxlen=2)  # the last ones
        self._plan = MemoryPlan(engine.workers)
        self._planned: WindowState | None = None  # for which it is

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        self._newest = frame
        return super()._take(frame)

    def _submit(self, windows: Sequence[Ready]) -> list[Future[Frame]]:
        assert self._state is not None  # what is pushed and what is drained has one
        if self._planned is not self._state:
            self._planned = self._state
            self._make_plan(self._state)
        arrival = self._engine.model.arrival(self._state, 0)
        if arrival is not None and not self._plan.tiles:
            self._begin(arrival)
        jobs = [
            CpuJob(self, self._pending.popleft(), self._engine, self._divided(window))
            for window in windows
        ]
        for job in jobs:
            self._run_in_order(job) if self._plan.in_order else self._run(job)
        if arrival is None:  # the stream is at its end
            self._begun.clear()
            self._aligned.clear()
        elif not self._plan.in_order:
            self._align(arrival)
        return [job.upscaled for job in jobs]

    def _make_plan(self, state: WindowState) -> None:
        height, width = state.ring.shape[3:]
        self._plan = self._engine.plan(height, width)
        self._recent: deque[Done] = deque(maxlen=self._plan.at_once)
        if self._plan.text:
            logger.info("%s: for its memory, %s", self._name, self._plan.text)

    def _begin(self, arrival: FrameArrival) -> None:
        begin = self._ahead(arrival.begin)
        self._begun.append(begin.done)
        if self._plan.in_order:  # no more than one frame is begun beside a window
            self._queue(begin, begin.done, list(self._windows)[:-1])
        else:
            self._engine.submit(begin)

    def _align(self, arrival: FrameArrival) -> None:
        if arrival.pairs:
            align = self._ahead(arrival.align)
            self._aligned.append(align.done)
            _Waiting(align, self._begun)

    def _run(self, job: CpuJob) -> None:
        _Waiting(job, [*self._begun, *self._aligned])

    def _run_in_order(self, job: CpuJob) -> None:
        """Runs a window after the one before it; what it aligns is divided among the threads."""
        needs = list(self._windows)[-1:] + list(self._begun)
        if not self._plan.tiles:
            assert job.window is not None
            assert isinstance(job.window.window, StreamedWindow)
            window, parts = job.window.window, self._plan.at_once
            jobs = [
                self._ahead(partial(align, window.network, pairs))
                for part in range(parts)
                if (pairs := window.pairs[part::parts])
            ]
            for one in jobs:
                self._queue(one, one.done, needs)
            needs = [one.done for one in jobs]
        else:
            needs = []
        self._windows.append(job.upscaled)
        self._queue(job, job.upscaled, needs)

    def _queue(self, job: CpuJob, done: Done, needs: Sequence[Done]) -> None:
        """Runs a job once ``needs`` are done, and no more at once than the plan has."""
        full = len(self._recent) == self._plan.at_once
        before = [self._recent[0]] if full else []
        self._recent.append(done)
        _Waiting(job, [*before, *needs])

    def _divided(self, ready: Ready) -> Ready:
        """A window, in tiles where the plan has them."""
        if not self._plan.tiles:
            return ready
        assert self._state is not None
        assert isinstance(ready.window, StreamedWindow)
        network, multiple = ready.window.network, self._engine.model.facts.multiple
        height, width = self._state.ring.shape[3:]
        tiles = tiles_of((height, width), self._plan.tiles, network.reach, multiple)
        return replace(ready, window=replace(ready.window, tiles=tiles))

    def _ahead(self, work: Callable[[], None]) -> _AheadJob:
        return _AheadJob(self, self._newest, self._engine, work=work)


def footprint_of(model: SlidingWindow) -> Footprint:
    """Counts what a streaming model keeps of a small frame, which is as much of each pixel."""
    network, facts = model.network, model.facts
    assert isinstance(network, StreamingNetwork)
    side = facts.multiple * -(-TRIAL // facts.multiple)
    pixels = torch.zeros(1, facts.colour.channels, side, side, dtype=torch.float32)
    with torch.inference_mode():
        features = network.features(pixels)
        reference = network.reference(features)
        aligned = _bytes((network.align(features, reference),)) / side**2
    of_pixels = _bytes((pixels,)) / side**2
    return Footprint(
        pixels=of_pixels,
        features=_bytes(features) / side**2,
        reference=_bytes(reference) / side**2,
        aligned=aligned,
        working=network.working * aligned,
        output=2 * of_pixels * facts.scale**2,  # and what the skip adds to it
        window=facts.window,
        lookahead=facts.lookahead,
    )


def _bytes(rows: Rows) -> int:
    return sum(row.nbytes for row in rows)


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
        except EngineClosedError:
            job.abandon()
