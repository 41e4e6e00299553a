"""The windows of one kind, alike in all their shapes, run as the device's memory allows.

Owns the network's static memory for them, and what is run where that is too much: smaller batches,
windows of which nothing is kept, tiles, none; and more again later.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor

from streamsr.engine.base import IS_FULL, EngineStream
from streamsr.engine.cuda.capacity import Capacity, Fit, fits_of
from streamsr.engine.cuda.device import Device, DeviceStream
from streamsr.engine.cuda.job import FULL, CudaJob
from streamsr.engine.cuda.replays import Replays
from streamsr.engine.cuda.streamed import RingWindow, StreamedRuns
from streamsr.engine.cuda.track import DeviceTrack
from streamsr.networks.contract import Memory, RecurrentNetwork, StreamingNetwork
from streamsr.networks.tiles import tile_counts, tiles_of

__all__ = ["Runner", "Work"]

logger = logging.getLogger("streamsr")

FILL_PX = 1 << 18  # of the windows of a streaming network: batches of more only take more memory


@dataclass(frozen=True, slots=True)
class Work:
    """What a runner needs of the compute lane."""

    plain: RecurrentNetwork[Any]  # the network, of whole windows
    streaming: StreamingNetwork | None  # the same as frames arrive, if it can
    reach: int  # of a network that remembers nothing, as StreamingNetwork has it; 0: no tiles
    multiple: int  # of the sides of what it is given
    sized: Callable[[Tensor], Tensor]
    device: Device
    stream: DeviceStream
    arrive: Callable[[CudaJob], bool]  # brings a job's track to its window; False: it cannot
    write: Callable[[CudaJob, Tensor], None]
    clock: Callable[[], float]


class Runner:
    """Runs windows like those of ``track``, at most ``rows`` at once."""

    def __init__(self, work: Work, rows: int, track: DeviceTrack) -> None:
        self._work = work
        self._streaming = work.streaming
        if self._streaming is not None:
            rows = max(1, min(rows, FILL_PX // (track.pixels[1] * track.pixels[2])))
        self._size = track.pixels[1:]
        counts = tile_counts(self._size, work.reach, work.multiple) if work.reach else ()
        self._capacity = Capacity(fits_of(rows, ring=self._streaming is not None, tiles=counts))
        self._fit = self._capacity.best
        self._replays: Replays | None = None
        self._streamed: StreamedRuns | None = None
        self._tracks: WeakSet[DeviceTrack] = WeakSet()  # that have a ring
        self._told: WeakKeyDictionary[EngineStream, Fit] = WeakKeyDictionary()

    def run(self, jobs: Sequence[CudaJob]) -> None:
        """Makes the outputs of jobs, of which none needs what another leaves.

        What the network fails of is left in the jobs. Raises what a new process alone can cure.
        """
        fit = self._capacity.fit(self._work.clock())
        if fit != self._fit:
            self._work.stream.synchronize()  # a graph must not be freed while it runs
            self._fit = fit
        left = list(jobs)
        if self._streaming is not None:
            left = [job for job in jobs if self._work.arrive(job)]
            left = self._run_by_ring(left)
        while left:
            left = self._run_loaded(left)
        self._tell(jobs)

    def ahead(self, jobs: Sequence[CudaJob]) -> None:
        """Does what windows after those of ``jobs`` need of their streams and can be done now."""
        newest = {job.track: job for job in jobs if job.track.kept is not None and not job.failure}
        if self._streamed is None or not newest:
            return
        try:
            self._streamed.ahead([self._ring_window(job) for job in newest.values()])
        except torch.OutOfMemoryError:
            self._shrink()
        except torch.AcceleratorError:
            raise
        except RuntimeError:
            return  # the window does it again, and fails by it

    def close(self) -> None:
        """Frees the memory. A graph must not be freed while it runs."""
        self._work.stream.synchronize()
        self._replays = self._streamed = None
        for track in self._tracks:
            track.kept = None

    def _run_by_ring(self, jobs: list[CudaJob]) -> list[CudaJob]:
        """Runs jobs, all of whose frames have arrived, out of their rings, while there are any.

        Returns those that are left.
        """
        while jobs and self._fit.rows and self._fit.keeps:
            batch = jobs[: self._fit.rows]
            if self._tried(batch, partial(self._by_ring, batch)):
                jobs = jobs[len(batch) :]
        return jobs

    def _run_loaded(self, jobs: list[CudaJob]) -> list[CudaJob]:
        """Runs as many jobs as there are rows, by whole windows; returns those that are left."""
        replays = self._ready_replays(jobs[0])
        rows = len(jobs) if replays is None else len(replays.windows)
        loaded: list[CudaJob] = []
        for job in jobs[:rows]:
            if self._streaming is None and not self._work.arrive(job):
                continue
            if replays is not None:
                track = job.track
                replays.load(len(loaded), track.ring, job.window, job.memory.motion, track.state)
            loaded.append(job)
        done = 0
        while done < len(loaded):
            if replays is None or not self._fit.rows:
                fail(loaded[done:], FULL)
                break
            batch = loaded[done : done + self._fit.rows]
            if self._tried(batch, self._whole_or_tiled(replays, done, len(batch))):
                done += len(batch)
        return jobs[rows:]

    def _whole_or_tiled(
        self, replays: Replays, start: int, rows: int
    ) -> Callable[[], tuple[Tensor, Memory]]:
        """What runs loaded windows, from row ``start`` on, as the fit has it."""
        if self._fit.tiles == 1:
            return partial(replays.run, start, rows)
        work = self._work
        tiles = tiles_of(self._size, self._fit.tiles, work.reach, work.multiple)
        return partial(replays.tiled, start, tiles)

    def _tried(self, jobs: Sequence[CudaJob], work: Callable[[], tuple[Tensor, Memory]]) -> bool:
        """Runs jobs by ``work``, or fails them; False: the memory was short, they may run again."""
        try:
            outputs, memory = work()
        except torch.OutOfMemoryError:
            self._shrink()
            return False
        except torch.AcceleratorError:
            raise  # the process's hold on the device is lost
        except RuntimeError as error:  # torch's for all else that goes wrong
            fail(jobs, error)
            return True
        self._capacity.worked(self._work.clock())
        for row, job in enumerate(jobs):
            job.track.remember(memory, row)
            self._work.write(job, outputs[row])
        return True

    def _shrink(self) -> None:
        """Goes on with what takes less memory, and gives some back."""
        self._work.stream.synchronize()  # a graph must not be freed while it runs
        self._fit = self._capacity.failed(self._work.clock())
        logger.warning("%s: %s", IS_FULL, self._fit.text)
        self._streamed = None
        if self._replays is not None:
            self._replays.keep(self._fit.rows if self._fit.tiles == 1 else 0)
        if not self._fit.keeps:
            for track in self._tracks:
                track.kept = None

    def _ready_replays(self, job: CudaJob) -> Replays | None:
        """Static memory for windows like a job's, as the fit has it; None where there is none."""
        while self._fit.rows:
            if self._replays is not None and len(self._replays.windows) == self._fit.rows:
                return self._replays
            self._replays = None  # first, since its memory may serve again
            like = job.track.ring, job.memory.motion, job.track.state
            work = self._work
            try:
                self._replays = Replays(work.plain, work.sized, work.device, self._fit.rows, *like)
            except torch.OutOfMemoryError:
                self._shrink()
        return None

    def _streamed_runs(self, job: CudaJob) -> StreamedRuns:
        """The parts of a streaming network. Raises torch.OutOfMemoryError."""
        if self._streamed is None:
            assert self._streaming is not None
            rows, ring = self._fit.rows, job.track.ring
            work = self._work
            self._streamed = StreamedRuns(self._streaming, work.sized, work.device, rows, ring)
        return self._streamed

    def _by_ring(self, jobs: Sequence[CudaJob]) -> tuple[Tensor, Memory]:
        streamed = self._streamed_runs(jobs[0])
        return streamed.run([self._ring_window(job) for job in jobs]), ()

    def _ring_window(self, job: CudaJob) -> RingWindow:
        """A job's window, its stream's ring allocated. Raises torch.OutOfMemoryError."""
        track, streamed = job.track, self._streamed_runs(job)
        if track.kept is None:
            track.kept = streamed.ring()
            self._tracks.add(track)
        return RingWindow(
            track.kept, track.ring, job.frames, job.first, job.newest, streamed.centre
        )

    def _tell(self, jobs: Sequence[CudaJob]) -> None:
        """Tells the streams of jobs what has changed for them."""
        best = self._capacity.best
        for stream in {job.stream for job in jobs}:
            if self._told.get(stream, best) != self._fit:
                self._told[stream] = self._fit
                stream.memory_is(None if self._fit == best else self._fit.text)


def fail(jobs: Sequence[CudaJob], error: RuntimeError) -> None:
    for job in jobs:
        job.fail(error)
