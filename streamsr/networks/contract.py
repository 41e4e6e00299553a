"""What a recurrent network offers beside its forward pass, so that windows can overlap."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from streamsr.core.frame import Plane
from streamsr.networks.flow import Flow, flow_of_planes, planes_of

__all__ = ["Memory", "RecurrentNetwork", "Step"]

Memory = tuple[Tensor, ...]
"""What one frame of a stream leaves to the next: tensors with a row a stream; zeros before one."""

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
        return flow_of_planes(frame, before, self.fold)

    @abstractmethod
    def fresh(self, batch: int, height: int, width: int) -> Memory:
        """Returns the memory before a first frame of ``height`` x ``width``: zeros."""

    @abstractmethod
    def align(self, window: Tensor, motion: Tensor) -> A:
        """Does what needs no memory of the window: a stream's windows in any order."""

    @abstractmethod
    def advance(self, aligned: A, memory: Memory) -> tuple[Tensor, Memory]:
        """Returns the output, (b, 1, scale*h, scale*w), and what it leaves to the next frame."""

    def step(self, aligned: A, memory: Memory, parts: int) -> Step:
        """Returns ``advance`` as a step of at most so many parts."""
        return Step((), partial(self.advance, aligned, memory))

    def forward(
        self, window: Tensor, memory: Memory, motion: Tensor | None = None
    ) -> tuple[Tensor, Memory]:
        """Runs all parts: nothing waits for the host where ``motion`` is given."""
        motion = self.motion(window) if motion is None else motion
        return self.advance(self.align(window, motion), memory)
