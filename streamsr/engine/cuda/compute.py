"""What the compute lane does with a batch: planes into rings, windows through the network, planes.

Owns the network's static memory, by shape. It never waits, and does not decide when windows run
nor which of them together, only that one that needs what another leaves comes after it.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from streamsr.engine.base import Job, network_failure
from streamsr.engine.cuda.device import Device, DeviceStream
from streamsr.engine.cuda.replays import Replays
from streamsr.engine.cuda.track import DeviceTrack, SlotMemory, UploadedFrame
from streamsr.networks.contract import Memory, RecurrentNetwork
from streamsr.networks.resample import Resample, resize
from streamsr.networks.sliding import SlidingWindow

__all__ = ["Compute", "CudaJob"]

SHAPES_KEPT = 4  # of windows: a camera that keeps changing its size must not fill the memory


@dataclass(slots=True, eq=False)
class CudaJob(Job):
    """A frame whose window waits for its batch."""

    track: DeviceTrack
    slot: int  # of the frame
    arrivals: tuple[UploadedFrame, ...]  # those that the ring needs before it holds the window
    window: tuple[int, ...]  # positions of the ring
    starts_chain: bool  # the network knows nothing of the stream yet
    failure: str = ""  # why the network gave nothing; set by the compute lane

    @property
    def memory(self) -> SlotMemory:
        return self.track.memory[self.slot]


class _Memoryless(RecurrentNetwork[Tensor]):
    """A network of windows alone, as one whose memory is empty."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def fresh(self, batch: int, height: int, width: int) -> Memory:
        return ()

    def align(self, window: Tensor, motion: Tensor) -> Tensor:
        return window

    def advance(self, aligned: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return self.network(aligned), memory


class Compute:
    """Runs ``model`` in the work of ``stream``."""

    def __init__(
        self, model: SlidingWindow, device: Device, stream: DeviceStream, rows: int
    ) -> None:
        self.pixels = _pixel_dtype(model.network)
        network, self._scale, self._kernel = model.network, model.facts.scale, "bicubic"
        if isinstance(network, Resample):  # its work is one step to the size that is asked for
            self._scale, self._kernel = 1, network.kernel
            network = nn.Flatten(1, 2)  # (b, 1, c, h, w) to (b, c, h, w)
        self._network: RecurrentNetwork[Any] = (
            network if isinstance(network, RecurrentNetwork) else _Memoryless(network)
        )
        self._device = device
        self._stream = stream
        self._rows = rows
        self._converter = device.converter(stream, model.facts.colour, self.pixels)
        self._replays: dict[Hashable, Replays] = {}  # by the kind of track, last used last

    def prepare(self, track: DeviceTrack) -> None:
        """Allocates a new track's state, in the lane's work as all that fills memory.

        Raises torch.OutOfMemoryError.
        """
        track.state = self._network.fresh(1, *track.pixels[1:])

    def run(self, jobs: Sequence[CudaJob]) -> None:
        """Makes the outputs of ``jobs``, whose windows are of one shape.

        What the network fails of is left in the jobs. Raises what a new process alone can cure.
        """
        with torch.inference_mode():
            try:
                replays = self._replays_of(jobs[0])
            except torch.OutOfMemoryError as error:
                for job in jobs:
                    self._arrive(job)  # the windows after it need its frames all the same
                _fail(jobs, error)
                return
            rows = len(replays.windows)
            for independent in _rounds(jobs):
                for start in range(0, len(independent), rows):
                    self._run_part(replays, independent[start : start + rows])

    def _replays_of(self, job: CudaJob) -> Replays:
        track = job.track
        replays = self._replays.pop(track.kind, None)
        if replays is None:
            if len(self._replays) >= SHAPES_KEPT:
                self._stream.synchronize()  # a graph must not be freed while it runs
                del self._replays[next(iter(self._replays))]
            like = track.ring, job.memory.motion, track.state
            sized = partial(self._sized, track.layout.size, track.after.size)
            replays = Replays(self._network, sized, self._device, self._rows, *like)
        self._replays[track.kind] = replays
        return replays

    def _run_part(self, replays: Replays, jobs: Sequence[CudaJob]) -> None:
        for row, job in enumerate(jobs):
            self._arrive(job)
            replays.load(row, job.track.ring, job.window, job.memory.motion, job.track.state)
        done = 0
        while done < len(jobs):
            batch = jobs[done : done + replays.limit]
            try:
                outputs, memory = replays.run(done, len(batch))
            except torch.OutOfMemoryError as error:
                if len(batch) > 1:
                    self._stream.synchronize()  # as above
                    replays.lower(len(batch) // 2)
                    continue
                _fail(batch, error)
            except torch.AcceleratorError:
                raise  # the process's hold on the device is lost
            except RuntimeError as error:  # torch's for all else that goes wrong
                _fail(batch, error)
            else:
                for row, job in enumerate(batch):
                    job.track.remember(memory, row)
                    self._write(job, outputs[row])
            done += len(batch)

    def _arrive(self, job: CudaJob) -> None:
        """Brings the track to where it holds the job's window and its memory of those before it."""
        if job.starts_chain:
            job.track.forget()
        for arrival in job.arrivals:
            source = job.track.memory[arrival.slot].source
            self._converter.read(source, arrival.tags, job.track.ring[arrival.position])

    def _sized(self, before: tuple[int, int], after: tuple[int, int], output: Tensor) -> Tensor:
        """What the network gave of frames ``before``, padded, as ``after``: height and width."""
        height, width = (side * self._scale for side in before)
        output = output[..., :height, :width]
        if (height, width) == after:
            return output
        return resize(output, (Fraction(after[0], height), Fraction(after[1], width)), self._kernel)

    def _write(self, job: CudaJob, output: Tensor) -> None:
        memory, tags = job.memory, job.frame.colour
        self._converter.write(output, memory.source, tags, memory.output, memory.bad)


def _pixel_dtype(network: torch.nn.Module) -> torch.dtype:
    """What a network's windows are kept in: float16 for one in float16, else float32.

    bfloat16 holds a level only to half a step, and networks add their input to their output.
    """
    first = next(network.parameters(), torch.empty(0))
    return torch.float16 if first.dtype == torch.float16 else torch.float32


def _rounds(jobs: Sequence[CudaJob]) -> list[list[CudaJob]]:
    """The jobs in rounds: none needs what another of the same round leaves."""
    rounds: defaultdict[int, list[CudaJob]] = defaultdict(list)
    following: Counter[DeviceTrack] = Counter()  # the round of the next job of each track
    for job in jobs:
        rounds[following[job.track]].append(job)
        if job.track.state:
            following[job.track] += 1
    return list(rounds.values())


def _fail(jobs: Sequence[CudaJob], error: RuntimeError) -> None:
    """Leaves the jobs without an output, and nothing of theirs to the windows after them."""
    for job in jobs:
        job.track.forget()
        job.failure = network_failure(error)
