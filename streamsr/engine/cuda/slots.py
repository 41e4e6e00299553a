"""Slots: the books of one stream's frames on their way through a device, and what waits for what.

Pure: no clock, no thread, no torch. A slot is the memory of one frame: its planes as they came
and as they go, on the host (pinned) and on the device. Three lanes work on it, each in its own
order: UPLOAD copies in, COMPUTE runs the network, DOWNLOAD copies out. What one lane needs of
another is a wait for a mark, which the engine makes an event of.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["BATCHES_AHEAD", "Lane", "Mark", "Phase", "Slots", "Step"]

BATCHES_AHEAD = 6
"""Batches asked for and not delivered, at most. Further windows wait and make the next batch
larger. With fewer ahead, one stream's frames go in lumps, which overlap less: at 3, simulated
pipelines lost up to a third of their slowest stage's rate (``tests/engine/test_slots.py``)."""


class Lane(StrEnum):
    """What runs on its own beside the others, in the order it was asked for."""

    UPLOAD = "upload"
    COMPUTE = "compute"
    DOWNLOAD = "download"


class Phase(StrEnum):
    """What a slot was last asked for. Only FREE says that it is done: the host has seen it."""

    FREE = "free"
    UPLOADING = "uploading"  # the host fills its pinned memory
    READY = "ready"  # its upload was asked for; a frame may stay so until its window is whole
    RUNNING = "running"
    DOWNLOADING = "downloading"


Mark = tuple[int, Lane]
"""The last thing that a lane was asked to do in a slot."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to ask a lane for: it waits for the marks, then leaves its own in the slot."""

    lane: Lane
    slot: int
    waits: tuple[Mark, ...]


class Slots:
    """``count`` slots of one stream. Not for several threads at once: the engine has the lock.

    Any two steps that touch one piece of a slot's device memory are in one lane, or the later
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
        """Give a slot for the host to fill; None while all are under way."""
        if not self._free:
            return None
        slot = self._free.popleft()
        self._move(slot, Phase.FREE, Phase.UPLOADING)
        return slot

    def upload(self, slot: int) -> Step:
        """Copy the filled slot in, over the planes that its last frame was computed from."""
        self._move(slot, Phase.UPLOADING, Phase.READY)
        return Step(Lane.UPLOAD, slot, ((slot, Lane.COMPUTE),))

    def compute(self, slot: int, arrivals: Sequence[int]) -> Step:
        """Make the slot's picture, reading the slots that arrived since the stream's last one.

        It goes where the picture before was fetched from.
        """
        self._move(slot, Phase.READY, Phase.RUNNING)
        uploads = [(arrival, Lane.UPLOAD) for arrival in arrivals]
        return Step(Lane.COMPUTE, slot, (*uploads, (slot, Lane.DOWNLOAD)))

    def download(self, slot: int) -> Step:
        """Copy the slot's picture out."""
        self._move(slot, Phase.RUNNING, Phase.DOWNLOADING)
        return Step(Lane.DOWNLOAD, slot, ((slot, Lane.COMPUTE),))

    def free(self, slot: int) -> None:
        """The host has taken the picture out of pinned memory."""
        self._move(slot, Phase.DOWNLOADING, Phase.FREE)
        self._free.append(slot)

    def _move(self, slot: int, before: Phase, after: Phase) -> None:
        if self._phases[slot] is not before:
            raise ValueError(f"slot {slot}: got {self._phases[slot]}, allowed is {before}")
        self._phases[slot] = after
