"""Slots: the state of one stream's frames in flight on a device, and what waits for what.

Pure: no clock, no thread, no torch. A slot is the memory of one frame: its planes as they came
and as they go, on the host (pinned) and on the device. Three lanes, each a CUDA stream, work on
it: UPLOAD copies in, COMPUTE runs the network, DOWNLOAD copies out. What one lane needs of another
is a cross-stream dependency, which the engine makes a CUDA event of.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["BATCHES_AHEAD", "Dependency", "Lane", "Operation", "Phase", "Slots"]

BATCHES_AHEAD = 6
"""Batches launched and not delivered, at most. Further windows wait and make the next batch
larger. With fewer ahead, one stream's frames go in lumps, which overlap less: at 3, simulated
pipelines lost up to a third of their slowest stage's rate (``tests/engine/test_slots.py``)."""


class Lane(StrEnum):
    """A CUDA stream of the engine: its operations run in order, beside those of the others."""

    UPLOAD = "upload"
    COMPUTE = "compute"
    DOWNLOAD = "download"


class Phase(StrEnum):
    """The last operation launched in a slot. FREE alone says that it is done, as the host saw."""

    FREE = "free"
    UPLOADING = "uploading"  # the host fills its pinned memory
    READY = "ready"  # its upload was launched; a frame stays so until its window is complete
    RUNNING = "running"
    DOWNLOADING = "downloading"


Dependency = tuple[int, Lane]
"""The last operation launched in a slot by a lane."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A lane's work in a slot, to be launched once those it depends on are."""

    lane: Lane
    slot: int
    waits: tuple[Dependency, ...]


class Slots:
    """``count`` slots of one stream. Not for several threads at once: the engine has the lock.

    Any two operations that touch one piece of a slot's device memory are in one lane, or the later
    waits for the earlier. Its pinned memory is the host's while the slot is FREE or UPLOADING.
    What a stream keeps on the device besides (the ring of its windows, the network's memory of it)
    belongs to COMPUTE alone.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"slots: got {count}, allowed is 1 or more")
        self._phases = [Phase.FREE] * count
        self._free = deque(range(count))  # the one that was freed first goes first

    def phase(self, slot: int) -> Phase:
        return self._phases[slot]

    def take(self) -> int | None:
        """Returns a slot for the host to fill; None while all are in flight."""
        if not self._free:
            return None
        slot = self._free.popleft()
        self._move(slot, Phase.FREE, Phase.UPLOADING)
        return slot

    def upload(self, slot: int) -> Operation:
        """Copies the filled slot in, over the planes that its last frame was computed from."""
        self._move(slot, Phase.UPLOADING, Phase.READY)
        return Operation(Lane.UPLOAD, slot, ((slot, Lane.COMPUTE),))

    def compute(self, slot: int, arrivals: Sequence[int]) -> Operation:
        """Makes the slot's output, reading the slots uploaded since the stream's last one.

        It goes where the output before was fetched from.
        """
        self._move(slot, Phase.READY, Phase.RUNNING)
        uploads = [(arrival, Lane.UPLOAD) for arrival in arrivals]
        return Operation(Lane.COMPUTE, slot, (*uploads, (slot, Lane.DOWNLOAD)))

    def download(self, slot: int) -> Operation:
        """Copies the slot's output out."""
        self._move(slot, Phase.RUNNING, Phase.DOWNLOADING)
        return Operation(Lane.DOWNLOAD, slot, ((slot, Lane.COMPUTE),))

    def free(self, slot: int) -> None:
        """Frees a slot whose output the host has copied out of pinned memory."""
        self._move(slot, Phase.DOWNLOADING, Phase.FREE)
        self._free.append(slot)

    def _move(self, slot: int, before: Phase, after: Phase) -> None:
        if self._phases[slot] is not before:
            raise ValueError(f"slot {slot}: got {self._phases[slot]}, allowed is {before}")
        self._phases[slot] = after
