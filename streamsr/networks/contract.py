"""How every network is driven: the facts of a model, and one face to feed it a frame at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from torch import Tensor, nn

from streamsr.networks.facts import Facts

__all__ = ["Finished", "Memory", "RecurrentNetwork", "State", "StreamingModel"]


Finished = tuple[int, Tensor]
"""The slot an output belongs to, and the output: (c, scale*h, scale*w), float32, about [0, 1]."""


Memory = tuple[Tensor, ...]
"""What one frame of a stream leaves to the next: tensors with a row a stream; zeros before one."""

A = TypeVar("A")


class RecurrentNetwork(nn.Module, ABC, Generic[A]):
    """A network that maps a window and a memory to an output and the next memory.

    Its work on a window comes in two parts, so that the first may be done ahead of its turn.
    """

    @abstractmethod
    def fresh(self, batch: int, height: int, width: int) -> Memory:
        """The memory before a stream's first frame: zeros, for input of ``height`` x ``width``."""

    @abstractmethod
    def align(self, window: Tensor) -> A:
        """All that needs no memory of (b, window, c, h, w): a stream's windows in any order."""

    @abstractmethod
    def advance(self, aligned: A, memory: Memory) -> tuple[Tensor, Memory]:
        """The output, (b, c, scale*h, scale*w), and what it leaves to the stream's next frame."""

    def forward(self, window: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return self.advance(self.align(window), memory)


class State(Protocol):
    """All the memory the streams of one size will ever need: a pool, one slot a stream."""

    def reset(self, slot: int) -> None:
        """Forget the slot's stream: its next frame has nothing to do with those before it."""


S = TypeVar("S", bound=State)


class StreamingModel(Protocol[S]):
    """A network driven one frame at a time."""

    facts: Facts

    def start(self, batch: int, height: int, width: int) -> S:
        """Allocate the state of ``batch`` streams of ``height`` x ``width`` pixels."""

    def step(
        self, frame: Tensor, state: S, slots: Sequence[int] | None = None
    ) -> tuple[list[Finished], S]:
        """Push one frame of each slot and give what that finishes, oldest first in each slot.

        ``frame`` is (n, c, height, width), float, range as ``Colour`` states. An output belongs
        to the frame ``lookahead`` steps earlier; only a stream's first outputs wait longer, until
        the window is full, since their mirrored past comes out of their future.
        """

    def flush(self, state: S, slot: int) -> list[Finished]:
        """End the slot's stream: give the outputs it still owes, and free the slot."""
