"""What a recurrent network offers beside its forward pass, so that windows can overlap."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor, nn

__all__ = ["Memory", "RecurrentNetwork"]

Memory = tuple[Tensor, ...]
"""What one frame of a stream leaves to the next: tensors with a row a stream; zeros before one."""

A = TypeVar("A")


class RecurrentNetwork(nn.Module, ABC, Generic[A]):
    """A network that maps a window and a memory to an output and the next memory.

    Its work on a window comes in parts, since all but the last may run before the memory is there,
    and the first on the host while a GPU is at work.
    """

    @abstractmethod
    def motion(self, window: Tensor) -> Tensor:
        """Returns what moved in (b, window, c, h, w), in whatever form ``align`` takes it; it is
        found on the CPU."""

    @abstractmethod
    def fresh(self, batch: int, height: int, width: int) -> Memory:
        """Returns the memory before a first frame of ``height`` x ``width``: zeros."""

    @abstractmethod
    def align(self, window: Tensor, motion: Tensor) -> A:
        """Does what needs no memory of (b, window, c, h, w): a stream's windows in any order."""

    @abstractmethod
    def advance(self, aligned: A, memory: Memory) -> tuple[Tensor, Memory]:
        """Returns the output, (b, c, scale*h, scale*w), and what it leaves to the next frame."""

    def forward(self, window: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return self.advance(self.align(window, self.motion(window)), memory)
