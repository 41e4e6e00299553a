"""What one stream's frames keep on the device for their next windows, by a ``StreamingNetwork``.

Owns the memory, allocated once, and what it holds at present: features of the frames in the ring,
and, of the frames that are a window's reference next, what their windows need and which frames are
aligned to them. Nothing here runs a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamsr.engine.cuda.device import Device
from streamsr.engine.cuda.row_graphs import like_rows
from streamsr.networks.contract import Rows

__all__ = ["Ring", "RowShapes"]


@dataclass(frozen=True, slots=True)
class RowShapes:
    """A row of each thing that is kept, to be allocated like it."""

    features: Rows
    reference: Rows
    aligned: Tensor


class Ring:
    """Features of ``window`` frames, and ``references`` that frames are aligned to.

    Frames have numbers, that rise along the stream and are never used twice. The constructor raises
    torch.OutOfMemoryError.
    """

    def __init__(self, device: Device, like: RowShapes, window: int, references: int) -> None:
        self._features = like_rows(device, window, like.features)
        self._references = like_rows(device, references, like.reference)
        (self._aligned,) = like_rows(device, references * window, [like.aligned])
        self._frames: list[int | None] = [None] * window  # whose features are at each position
        self._known: list[set[int]] = [set() for _ in range(references)]  # aligned to each
        self._slots: dict[int, int] = {}  # of references, by the frame's number

    def has_features(self, frame: int) -> bool:
        return frame in self._frames

    def keep_features(self, frame: int, made: Sequence[Tensor]) -> None:
        """Copies a frame's features, one row each, over those of the frame a ring before."""
        position = frame % len(self._frames)
        self._frames[position] = frame
        torch._foreach_copy_([kept[position] for kept in self._features], list(made))

    def features(self, frame: int) -> list[Tensor]:
        position = frame % len(self._frames)
        assert self._frames[position] == frame
        return [kept[position] for kept in self._features]

    def is_open(self, reference: int) -> bool:
        return reference in self._slots

    @property
    def room(self) -> int:
        """How many more references can be opened."""
        return len(self._known) - len(self._slots)

    def open(self, reference: int, made: Sequence[Tensor]) -> None:
        """Copies what a reference's window needs of it; the oldest one goes where there is no room.

        Only one whose window failed, and so never closed it, is still there then.
        """
        if not self.room:
            self.close(min(self._slots))
        slot = next(n for n in range(len(self._known)) if n not in self._slots.values())
        self._slots[reference] = slot
        self._known[slot].clear()
        torch._foreach_copy_([kept[slot] for kept in self._references], list(made))

    def reference(self, reference: int) -> list[Tensor]:
        return [kept[self._slots[reference]] for kept in self._references]

    def close(self, reference: int) -> None:
        """Forgets a reference, which need not be open."""
        self._slots.pop(reference, None)

    def is_aligned(self, frame: int, reference: int) -> bool:
        return frame in self._known[self._slots[reference]]

    def keep_aligned(self, frame: int, reference: int, made: Tensor) -> None:
        self._known[self._slots[reference]].add(frame)
        self.aligned(frame, reference).copy_(made)

    def aligned(self, frame: int, reference: int) -> Tensor:
        window = len(self._frames)
        return self._aligned[self._slots[reference] * window + frame % window]

    def forget(self) -> None:
        """Closes all references: frames from now on have nothing to do with those before."""
        self._slots.clear()
