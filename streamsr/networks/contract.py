"""What networks offer beside their forward pass, so that the work on windows can be shared."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from streamsr.core.frame import Plane
from streamsr.networks.flow import USUAL, Flow, Search, flow_of_planes, planes_of

__all__ = ["Memory", "RecurrentNetwork", "Rows", "Step", "StreamingNetwork"]

Memory = tuple[Tensor, ...]
"""What one frame of a stream leaves to the next: tensors with a row a stream; zeros before one."""

Rows = tuple[Tensor, ...]
"""What is kept of frames: tensors with a row a frame."""

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Step:
    """The work on an aligned window: ``parts`` side by side in any threads, then ``finish``."""

    parts: Sequence[Callable[[], None]]
    finish: Callable[[], tuple[Tensor, Memory]]

    def run(self) -> tuple[Tensor, Memory]:
        """Does it all in this thread; returns what ``RecurrentNetwork.advance`` does."""
        for part in self.parts:
            part()
        return self.finish()


class RecurrentNetwork(nn.Module, ABC, Generic[A]):
    """A network that maps a window and a memory to an output and the next memory.

    A window is the frame before and the frame, luma in [0, 1]: (b, 2, 1, h, w). The work on it
    comes in parts, since all but the last may run before the memory is there, and the first on the
    host while a GPU is at work.
    """

    fold: int = 1  # pixels a side of a frame that one place of its motion covers
    search: Search = USUAL  # for that motion

    def motion(self, window: Tensor) -> Tensor:
        """Returns ``motion_of_planes`` of each window, found on the CPU: (b, 2, h / fold, w / fold)
        across and down. No gradient flows through it.
        """
        before, frame = (planes_of(luma) for luma in window[:, :, 0].unbind(1))
        flows = [self.motion_of_planes(*pair) for pair in zip(frame, before, strict=True)]
        motion = torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)
        return motion.contiguous().to(window.device)

    def motion_of_planes(self, frame: Plane, before: Plane) -> Flow:
        """Returns where in ``before`` each place of ``frame`` lies: (h / fold, w / fold, 2) places
        across and down.

        Both are (h, w) uint8: the luma of a window in levels. A frame compared with itself, as a
        chain's first one is, gives zeros.
        """
        return flow_of_planes(frame, before, self.fold, self.search)

    @abstractmethod
    def fresh(self, batch: int, height: int, width: int) -> Memory:
        """Returns the memory before a first frame of ``height`` x ``width``: zeros."""

    @abstractmethod
    def align(self, window: Tensor, motion: Tensor) -> A:
        """Does what needs no memory of the window: a stream's windows in any order."""

    @abstractmethod
    def advance(self, aligned: A, memory: Memory) -> tuple[Tensor, Memory]:
        """Returns the output, (b, 1, scale·h, scale·w), and what it leaves to the next frame."""

    def step(self, aligned: A, memory: Memory, parts: int) -> Step:
        """Returns ``advance`` as a step of at most so many parts."""
        return Step((), partial(self.advance, aligned, memory))

    def forward(
        self, window: Tensor, memory: Memory, motion: Tensor | None = None
    ) -> tuple[Tensor, Memory]:
        """Runs all parts: nothing waits for the host where ``motion`` is given."""
        motion = self.motion(window) if motion is None else motion
        return self.advance(self.align(window, motion), memory)


class StreamingNetwork(nn.Module, ABC):
    """A network of windows whose work can be done as frames arrive, none of it twice.

    ``forward`` maps whole windows (b, window, c, h, w), and is what training runs. The other
    methods give the same in parts: each frame's own, once; a frame aligned to the reference of a
    window, which is the frame at ``centre`` of it, as soon as both are there; and the rest, when
    all frames of the window are. No part touches what it is given.
    """

    @property
    @abstractmethod
    def centre(self) -> int:
        """The place in a window of the frame that its output is of."""

    @property
    def reach(self) -> int:
        """How many pixels of its input, to each side, a pixel of the output depends on.

        0 where that is not known: then no frame is divided into tiles.
        """
        return 0

    @property
    def working(self) -> float:
        """How much one call takes besides what it is given and returns: so many times an aligned
        frame, at most."""
        return 8.0

    @abstractmethod
    def features(self, frames: Tensor) -> Rows:
        """Returns what every window needs of each of ``frames`` (n, c, h, w), a row each."""

    @abstractmethod
    def reference(self, features: Rows) -> Rows:
        """Returns what besides is needed of frames, of which these are the features, in the windows
        that they are the reference of: a row each.
        """

    @abstractmethod
    def align(self, frames: Rows, references: Rows) -> Tensor:
        """Aligns frames of these ``features``, n rows, to ``references``: n rows out.

        Those are n rows of ``reference``, or fewer: each is then that of as many frames in a row.
        """

    @abstractmethod
    def restore(self, aligned: Sequence[Tensor], pixels: Tensor) -> Tensor:
        """Returns the output, (b, c, scale·h, scale·w), of windows with all their frames aligned.

        ``aligned`` is by place in the window, b rows each; ``pixels`` are the references'
        (b, c, h, w).
        """
