"""What the compute lane does with a batch: planes into rings, windows through the network, planes.

Owns the network's static memory, by shape. It never waits, and decides neither what runs together
nor when.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from streamsr.engine.device import Device, Stream
from streamsr.engine.replays import Replays
from streamsr.engine.track import SlotMemory, Track
from streamsr.frame import ColourTags, Frame
from streamsr.metrics import Meter
from streamsr.networks.sliding import SlidingWindow

__all__ = ["Arrival", "Compute", "Job"]

SHAPES_KEPT = 4  # of windows: a camera that changes its size for ever must not fill the memory


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that was uploaded and is not in its stream's ring yet."""

    slot: int
    position: int  # of the ring
    tags: ColourTags


@dataclass(slots=True, eq=False)
class Job:
    """One picture to be made."""

    track: Track
    slot: int  # of the frame that it is made of
    frame: Frame
    arrivals: tuple[Arrival, ...]  # those that the ring needs before it holds the window
    window: tuple[int, ...]  # positions of the ring
    meter: Meter
    failed: Callable[[str], None]  # told when the frame is scaled plainly, and why
    upscaled: Future[Frame] = field(default_factory=Future)
    failure: str = ""  # why the network made no picture; set by the compute lane

    @property
    def memory(self) -> SlotMemory:
        return self.track.memory[self.slot]


class Compute:
    """Runs ``model`` in the work of ``stream``."""

    def __init__(self, model: SlidingWindow, device: Device, stream: Stream, rows: int) -> None:
        self.pixels = _pixel_dtype(model.network)
        self._model = model
        self._device = device
        self._stream = stream
        self._rows = rows
        self._converter = device.converter(stream, model.facts, self.pixels)
        self._replays: dict[tuple[int, ...], Replays] = {}  # by (c, h, w), last used last

    def run(self, jobs: Sequence[Job]) -> None:
        """Make the pictures of ``jobs``, whose windows are of one shape.

        What the network fails of is left in the jobs. Raises what a new process alone can cure.
        """
        with torch.inference_mode():
            try:
                replays = self._replays_of(jobs[0].track.pixels)
            except torch.OutOfMemoryError as error:
                for job in jobs:
                    self._arrive(job)  # the windows after it need its frames all the same
                _fail(jobs, error)
                return
            rows = len(replays.windows)
            for start in range(0, len(jobs), rows):
                self._run_part(replays, jobs[start : start + rows])

    def _replays_of(self, shape: tuple[int, ...]) -> Replays:
        replays = self._replays.pop(shape, None)
        if replays is None:
            if len(self._replays) >= SHAPES_KEPT:
                self._stream.settle()  # a graph must not go while it runs
                del self._replays[next(iter(self._replays))]
            window = self._model.facts.window, *shape
            network = self._model.network
            replays = Replays(network, self._device, self._rows, window, self.pixels)
        self._replays[shape] = replays
        return replays

    def _run_part(self, replays: Replays, jobs: Sequence[Job]) -> None:
        for row, job in enumerate(jobs):
            self._arrive(job)
            replays.load(row, job.track.ring, job.window)
        done = 0
        while done < len(jobs):
            batch = jobs[done : done + replays.limit]
            try:
                outputs = replays.run(done, len(batch))
            except torch.OutOfMemoryError as error:
                if len(batch) > 1:
                    self._stream.settle()  # as above
                    replays.lower(len(batch) // 2)
                    continue
                _fail(batch, error)
            except torch.AcceleratorError:
                raise  # the process's hold on the device is lost
            except RuntimeError as error:  # torch's for all else that goes wrong
                _fail(batch, error)
            else:
                for job, output in zip(batch, outputs, strict=True):
                    self._write(job, output)
            done += len(batch)

    def _arrive(self, job: Job) -> None:
        """Bring the ring to where it holds the job's window: in order, as all that lane does."""
        for arrival in job.arrivals:
            source = job.track.memory[arrival.slot].source
            self._converter.read(source, arrival.tags, job.track.ring[arrival.position])

    def _write(self, job: Job, output: Tensor) -> None:
        height, width = job.memory.picture[0].shape[:2]
        output = output[:, :height, :width]
        memory, tags = job.memory, job.frame.colour
        self._converter.write(output, memory.source, tags, memory.picture, memory.bad)


def _pixel_dtype(network: torch.nn.Module) -> torch.dtype:
    """What a network's windows are kept in: float16 for one in float16, else float32.

    bfloat16 holds a level only to half a step, and networks add their input to their output.
    """
    first = next(network.parameters(), torch.empty(0))
    return torch.float16 if first.dtype == torch.float16 else torch.float32


def _fail(jobs: Sequence[Job], error: RuntimeError) -> None:
    for job in jobs:
        job.failure = f"the network failed: {str(error).splitlines()[0]}"
