"""A frame on its way through a device's engine, with the window that is run for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import torch

from streamsr.core.frame import Frame
from streamsr.engine.base import IS_FULL, EngineStream, Job, network_failure
from streamsr.engine.cuda.track import DeviceTrack, SlotMemory, UploadedFrame

__all__ = ["FULL", "CudaJob", "charge_gpu", "job_of"]

FULL = torch.OutOfMemoryError("there is not enough memory")


@dataclass(slots=True, eq=False)
class CudaJob(Job):
    """A frame whose window waits for its batch."""

    track: DeviceTrack
    slot: int  # of the frame
    arrivals: tuple[UploadedFrame, ...]  # those that the ring needs before it holds the window
    window: tuple[int, ...]  # positions of the ring
    starts_chain: bool  # the network knows nothing of the stream yet
    newest: int = 0  # the number of the newest frame that came, and of the first of its chain
    first: int = 0
    launched_s: float = 0.0  # monotonic, of its batch's first job
    failure: str = ""  # why the network gave nothing; set by the compute lane

    @property
    def memory(self) -> SlotMemory:
        return self.track.memory[self.slot]

    @property
    def frames(self) -> tuple[int, ...]:
        """The numbers of the window's frames, by place."""
        size = len(self.track.ring)
        return tuple(self.newest - (self.newest - position) % size for position in self.window)

    def fail(self, error: Exception) -> None:
        """Leaves it without an output, and nothing of it to the windows after it."""
        self.track.forget()
        full = isinstance(error, torch.OutOfMemoryError)
        self.failure = IS_FULL if full else network_failure(error)


def job_of(
    stream: EngineStream, frame: Frame, track: DeviceTrack, window: tuple[int, ...]
) -> CudaJob:
    """Returns the job of the oldest frame of a track that has none, which is complete."""
    slot, arrivals = track.pending.popleft(), tuple(track.arrivals)
    chain = track.starts_chain, track.newest, track.first
    track.arrivals, track.starts_chain = [], False
    return CudaJob(stream, frame, track, slot, arrivals, window, *chain)


def charge_gpu(jobs: Sequence[CudaJob], served_s: float) -> float:
    """Charges the streams of a batch that is done for the time since it was launched, or since the
    batch before was done, at ``served_s``; returns the moment it is. Both are monotonic."""
    now_s = monotonic()
    spent_s = now_s - max(served_s, jobs[0].launched_s)
    for job in jobs:
        job.stream.meter.charge_gpu(spent_s / len(jobs))
    return now_s
