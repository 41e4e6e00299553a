"""What the compute lane does with a batch: planes into rings, windows through the network, planes.

Owns a runner for each shape of windows. It does not decide when windows run nor which of them
together, only that one that needs what another leaves comes after it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from functools import partial
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

from streamsr.engine.cuda.device import Device, DeviceStream
from streamsr.engine.cuda.job import FULL, CudaJob
from streamsr.engine.cuda.runner import Runner, Work
from streamsr.engine.cuda.track import DeviceTrack
from streamsr.networks.contract import Memory, RecurrentNetwork, StreamingNetwork
from streamsr.networks.resample import Resample, resize
from streamsr.networks.sliding import SlidingWindow

__all__ = ["Compute"]

SHAPES_KEPT = 4  # of windows: a camera that keeps changing its size must not fill the memory


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
    """Runs ``model`` in the work of ``stream``. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        model: SlidingWindow,
        device: Device,
        stream: DeviceStream,
        rows: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.pixels = _pixel_dtype(model.network)
        network, self._scale, self._kernel = model.network, model.facts.scale, "bicubic"
        if isinstance(network, Resample):  # its work is one step to the size that is asked for
            self._scale, self._kernel = 1, network.kernel
            network = nn.Flatten(1, 2)  # (b, 1, c, h, w) to (b, c, h, w)
        self._network: RecurrentNetwork[Any] = (
            network if isinstance(network, RecurrentNetwork) else _Memoryless(network)
        )
        self._streaming = (
            network if model.streaming and isinstance(network, StreamingNetwork) else None
        )
        self._reach = network.reach if isinstance(network, StreamingNetwork) else 0
        self._multiple = model.facts.multiple
        self._device = device
        self._stream = stream
        self._rows = rows
        self._clock = clock
        self._converter = device.converter(stream, model.facts.colour, self.pixels)
        self._runners: dict[Hashable, Runner] = {}  # by the kind of track, last used last

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
            runner = self._runner_of(jobs[0].track)
            for independent in _rounds(jobs, chained=self._streaming is not None):
                runner.run(independent)

    def ahead(self, jobs: Sequence[CudaJob]) -> None:
        """Does what can be done now for windows after those of ``jobs``, which were run."""
        with torch.inference_mode():
            self._runner_of(jobs[0].track).ahead(jobs)

    def _runner_of(self, track: DeviceTrack) -> Runner:
        runner = self._runners.pop(track.kind, None)
        if runner is None:
            if len(self._runners) >= SHAPES_KEPT:
                self._runners.pop(next(iter(self._runners))).close()
            runner = Runner(self._work_of(track), self._rows, track)
        self._runners[track.kind] = runner
        return runner

    def _work_of(self, track: DeviceTrack) -> Work:
        return Work(
            plain=self._network,
            streaming=self._streaming,
            reach=self._reach,
            multiple=self._multiple,
            sized=partial(self._sized, track.layout.size, track.after.size),
            device=self._device,
            stream=self._stream,
            arrive=self._arrive,
            write=self._write,
            clock=self._clock,
        )

    def _arrive(self, job: CudaJob) -> bool:
        """Brings the track to where it holds the job's window and its memory of those before it.

        False where a frame of it could not be read, for want of memory: then the job has failed.
        """
        track = job.track
        if job.starts_chain:
            track.forget()
        for arrival in job.arrivals:
            source = track.memory[arrival.slot].source
            try:
                self._converter.read(source, arrival.tags, track.ring[arrival.position])
                track.lost.discard(arrival.position)
            except torch.OutOfMemoryError:
                track.lost.add(arrival.position)
        if track.lost.isdisjoint(job.window):
            return True
        job.fail(FULL)
        return False

    def _sized(self, before: tuple[int, int], after: tuple[int, int], output: Tensor) -> Tensor:
        """What the network gave of frames ``before``, padded, as ``after``: height and width."""
        height, width = (side * self._scale for side in before)
        output = output[..., :height, :width]
        if (height, width) == after:
            return output
        return resize(output, (Fraction(after[0], height), Fraction(after[1], width)), self._kernel)

    def _write(self, job: CudaJob, output: Tensor) -> None:
        memory, tags = job.memory, job.frame.colour
        try:
            self._converter.write(output, memory.source, tags, memory.output, memory.bad)
        except torch.OutOfMemoryError as error:
            job.fail(error)


def _pixel_dtype(network: torch.nn.Module) -> torch.dtype:
    """What a network's windows are kept in: float16 for one in float16, else float32.

    bfloat16 holds a level only to half a step, and networks add their input to their output.
    """
    first = next(network.parameters(), torch.empty(0))
    return torch.float16 if first.dtype == torch.float16 else torch.float32


def _rounds(jobs: Sequence[CudaJob], *, chained: bool) -> list[list[CudaJob]]:
    """The jobs in rounds: none needs what another of the same round leaves.

    Where they are ``chained``, what a track keeps is more than its state, and changes with each.
    """
    rounds: defaultdict[int, list[CudaJob]] = defaultdict(list)
    following: Counter[DeviceTrack] = Counter()  # the round of the next job of each track
    for job in jobs:
        rounds[following[job.track]].append(job)
        if job.track.state or chained:
            following[job.track] += 1
    return list(rounds.values())
