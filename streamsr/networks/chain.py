"""The chain of a stream's windows through a recurrent network: each needs the one before it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import torch
from torch import Tensor

from streamsr.networks.contract import Memory, RecurrentNetwork, Step

__all__ = ["ChainLink", "is_finite"]


def is_finite(output: Tensor) -> bool:
    """Returns whether all that a network gave is; levels always are."""
    return not output.is_floating_point() or bool(torch.isfinite(output.sum()))


class ChainLink:
    """A window's place in the chain: it waits for a memory, and leaves one.

    ``align`` it once, then ``advance`` it, or ``begin`` and ``finish`` it. Where that raises or
    gives values that are not finite, the window after it starts without a memory.
    """

    def __init__(
        self, network: RecurrentNetwork[Any], size: tuple[int, int], before: Future[Memory]
    ) -> None:
        self.before = before  # done once the window before has run; cancelled if it never will
        self.is_aligned = False
        self._network = network
        self._size = size
        self._aligned: Any = None  # of the network's own type, until its step is begun
        self._step: Step | None = None  # until it is finished
        self._after: Future[Memory] = Future()

    @classmethod
    def first(cls, network: RecurrentNetwork[Any], size: tuple[int, int]) -> "ChainLink":
        """Returns the link of a stream's first window, of ``size`` (height, width)."""
        before: Future[Memory] = Future()
        before.set_result(network.fresh(1, *size))
        return cls(network, size, before)

    @classmethod
    def passed(
        cls, network: RecurrentNetwork[Any], size: tuple[int, int], left: Memory
    ) -> "ChainLink":
        """Returns the link of a window that ran elsewhere and ``left`` that to the next."""
        link = cls.first(network, size)
        link._after.set_result(left)
        return link

    @property
    def after(self) -> Future[Memory]:
        """What the window leaves, done once it has run; cancelled if it never will."""
        return self._after

    def next(self) -> "ChainLink":
        """Returns the link of the window after this one."""
        return ChainLink(self._network, self._size, self._after)

    def align(self, window: Tensor) -> None:
        """Does all that needs no memory of (window, c, h, w)."""
        try:
            batch = window[None]
            self._aligned = self._network.align(batch, self._network.motion(batch))
        except BaseException:
            self.fail()
            raise
        self.is_aligned = True

    def advance(self) -> Tensor:
        """Returns the output of the aligned window, (c, scale*h, scale*w).

        Waits for the window before it.
        """
        parts = self.begin(1)
        try:
            for part in parts:
                part()
        except BaseException:
            self.fail()
            raise
        return self.finish()

    def begin(self, parts: int) -> Sequence[Callable[[], None]]:
        """Begins the aligned window's step, in at most so many parts; ``finish`` it, or ``fail``.

        Waits for the window before it. A part that raises must be followed by ``fail``.
        """
        aligned, self._aligned = self._aligned, None
        try:
            self._step = self._network.step(aligned, self.before.result(), parts)
        except BaseException:
            self.fail()
            raise
        return self._step.parts

    def finish(self) -> Tensor:
        """Returns the output once every part of the step has run."""
        step, self._step = self._step, None
        assert step is not None  # it was begun
        try:
            output, memory = step.finish()
        except BaseException:
            self.fail()
            raise
        if is_finite(output):
            self._after.set_result(memory)
        else:
            self.fail()
        return output[0]

    def fail(self) -> None:
        """Lets the window after it start without a memory."""
        self._after.set_result(self._network.fresh(1, *self._size))

    def abandon(self) -> None:
        """States that the window will never run, nor those after it."""
        self._after.cancel()
