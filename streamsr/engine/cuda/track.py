"""A stream's memory on a device while its frames have one layout: slots, a ring, a state.

Owns where a frame's planes and its motion lie, on the host and on the device, and what the network
remembers of the stream; nothing here runs a network or launches work. A stream whose frames change
gets a new track, and the old one is freed when its last frame has come out.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Self

import numpy as np
import torch
from torch import Tensor

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.colour import Planes
from streamsr.engine.cuda.device import Device, DeviceEvent
from streamsr.engine.cuda.motion import MotionFinder
from streamsr.engine.cuda.ring import Ring
from streamsr.engine.cuda.slots import Lane, Slots
from streamsr.networks.contract import Memory
from streamsr.networks.flow import Flow
from streamsr.networks.sliding import SlidingWindow
from streamsr.networks.window import Window

__all__ = ["DeviceTrack", "Layout", "SlotMemory", "UploadedFrame"]

HEADER = 16  # bytes before a finished frame: whether all its values are finite


@dataclass(frozen=True, slots=True)
class Layout:
    """The planes of a frame, one after the other."""

    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, frame: Frame) -> Self:
        return cls(tuple(plane.shape for plane in frame.planes))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shapes[0][0], self.shapes[0][1]

    @property
    def bytes(self) -> int:
        return sum(map(prod, self.shapes))

    def resized(self, width: int, height: int) -> "Layout":
        if len(self.shapes) == 1:
            return Layout(((height, width, 3),))
        chroma = -(-height // 2), -(-width // 2)
        return Layout(((height, width), chroma, chroma))

    def padded(self, multiple: int) -> tuple[int, int]:
        """Height and width of what the network reads."""
        height, width = (-(-side // multiple) * multiple for side in self.size)
        return height, width

    def views(self, memory: Tensor) -> Planes:
        """The planes in ``memory``, (bytes,) uint8."""
        ends = [sum(map(prod, self.shapes[:n])) for n in range(len(self.shapes) + 1)]
        parts = (memory[start:end] for start, end in pairwise(ends))
        return tuple(part.view(shape) for part, shape in zip(parts, self.shapes, strict=True))


class SlotMemory:
    """One slot: a frame's motion, its planes and its output's, on the host and on the device."""

    def __init__(
        self, device: Device, before: Layout, after: Layout, motion: tuple[int, ...]
    ) -> None:
        planes = 4 * prod(motion)  # bytes before them: floats come first, since they are aligned
        self._filled = device.pinned(planes + before.bytes)
        self._arrived = device.empty((planes + before.bytes,), torch.uint8)
        self._made = device.empty((HEADER + after.bytes,), torch.uint8)
        self._fetched = device.pinned(HEADER + after.bytes)
        self._motion_to_fill = _floats(self._filled[:planes], motion).numpy()
        self._to_fill = [plane.numpy() for plane in before.views(self._filled[planes:])]
        self._to_take = [plane.numpy() for plane in after.views(self._fetched[HEADER:])]
        self.motion = _floats(self._arrived[:planes], motion)
        self.source = before.views(self._arrived[planes:])
        self.output = after.views(self._made[HEADER:])
        self.bad = self._made[:4].view(torch.int32)  # (1,): see ``Converter.write``
        self._is_bad = self._fetched[:4].view(torch.int32)
        self.events: dict[Lane, DeviceEvent] = {lane: device.event() for lane in Lane}

    def fill(self, frame: Frame, motion: Flow) -> None:
        """Copies a frame into pinned memory: the host's part, before the upload."""
        np.copyto(self._motion_to_fill, motion)
        for into, plane in zip(self._to_fill, frame.planes, strict=True):
            np.copyto(into, plane)

    def upload(self) -> None:
        self._arrived.copy_(self._filled, non_blocking=True)

    def download(self) -> None:
        self._fetched.copy_(self._made, non_blocking=True)

    def taken(self) -> tuple[Plane, ...] | None:
        """Returns the output's planes, None where it is not finite: the host's part, at the end.

        Copies, since a frame may be kept for as long as its receiver likes, and the slot may not.
        """
        if self._is_bad.item():
            return None
        return tuple(plane.copy() for plane in self._to_take)


@dataclass(frozen=True, slots=True)
class UploadedFrame:
    """A frame that was uploaded and is not in its stream's ring yet."""

    slot: int
    position: int  # of the ring
    tags: ColourTags


class DeviceTrack:
    """What one stream has on the device while its frames have ``layout``.

    ``ahead`` frames may be in flight beside those whose window is not complete yet. They become
    ``size``, width and height; as large as the network makes them where it is left out.
    """

    def __init__(
        self,
        device: Device,
        layout: Layout,
        model: SlidingWindow,
        pixels: torch.dtype,
        ahead: int,
        size: tuple[int, int] | None = None,
    ) -> None:
        facts = model.facts
        count = 2 * facts.lookahead + ahead  # a stream's first window waits for so many frames
        self.layout = layout
        self.pixels = (facts.colour.channels, *layout.padded(facts.multiple))
        self.slots = Slots(count)
        self.motion = MotionFinder(model.network, layout.padded(facts.multiple))
        height, width = (side * facts.scale for side in layout.size)
        self.after = layout.resized(*(size or (width, height)))
        shapes = layout, self.after, self.motion.shape
        self.memory = [SlotMemory(device, *shapes) for _ in range(count)]
        self.ring = device.empty((facts.window, *self.pixels), pixels)
        self.state: Memory = ()  # what the newest window left to the next; see Compute.prepare
        self.kept: Ring | None = (
            None  # what was made of the frames in the ring, while there is room
        )
        self.lost: set[int] = set()  # positions whose frame could not be read, for want of memory
        self._window = Window(facts.window, facts.lookahead)  # positions of the ring
        self.newest = -1  # the number of the newest frame; at ``newest % window`` in the ring
        self.first = 0  # the number of the first frame of its chain
        self.arrivals: list[UploadedFrame] = []  # no job's yet
        self.pending: deque[int] = deque()  # slots whose window is not complete
        self._is_over = True  # the next frame has nothing to do with those before it
        self.starts_chain = True  # the next window has nothing to do with those before it

    @property
    def kind(self) -> tuple[tuple[int, ...], ...]:
        """What the windows of tracks that run together have in common: their shapes."""
        return self.pixels, self.layout.size, self.after.size

    def push(self, slot: int, tags: ColourTags) -> list[tuple[int, ...]]:
        """Takes a frame that was uploaded into a slot; returns the windows that it completes."""
        position, windows = self._window.push()
        size = self._window.size
        self.newest += 1 + (position - self.newest - 1) % size  # numbers are left out after an end
        if self._is_over:
            self.first, self._is_over = self.newest, False
        self.arrivals.append(UploadedFrame(slot, position, tags))
        self.pending.append(slot)
        return windows

    def end(self) -> list[tuple[int, ...]]:
        """Ends the chain: returns the windows of the frames that still wait for theirs."""
        self._is_over = True
        return self._window.flush()

    def remember(self, memory: Memory, row: int) -> None:
        """Keeps what a window of the stream left: its row of a batch's."""
        for kept, left in zip(self.state, memory, strict=True):
            kept[0].copy_(left[row])

    def forget(self) -> None:
        """Makes the stream's next window the first of a chain."""
        for kept in self.state:
            kept.zero_()
        if self.kept is not None:
            self.kept.forget()


def _floats(memory: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``memory``, (bytes,) uint8, as float32 of ``shape``."""
    return memory.view(torch.float32).view(shape)
