"""The chain of a stream's windows through a recurrent network: each needs the one before it."""

from concurrent.futures import Future
from typing import Any

import torch
from torch import Tensor

from streamsr.networks.contract import Memory, RecurrentNetwork

__all__ = ["Link"]


class Link:
    """A window's place in the chain: it waits for a memory, and leaves one."""

    def __init__(
        self, network: RecurrentNetwork[Any], size: tuple[int, int], before: Future[Memory]
    ) -> None:
        self.before = before  # done once the window before has been run; cancelled if never
        self._network = network
        self._size = size
        self._after: Future[Memory] = Future()

    @classmethod
    def first(cls, network: RecurrentNetwork[Any], size: tuple[int, int]) -> "Link":
        """That of a stream's first window, of ``size`` (height, width)."""
        before: Future[Memory] = Future()
        before.set_result(network.fresh(1, *size))
        return cls(network, size, before)

    def next(self) -> "Link":
        """The place of the window after this one."""
        return Link(self._network, self._size, self._after)

    def align(self, window: Tensor) -> Any:
        """All that can be done of (window, c, h, w) before its turn."""
        return self._network.align(window[None])

    def advance(self, aligned: Any) -> Tensor:
        """The output of the window that was aligned, (c, scale*h, scale*w).

        Waits for the window before it. Where the network raises or gives values that are not
        finite, the chain begins anew.
        """
        try:
            output, memory = self._network.advance(aligned, self.before.result())
        except BaseException:
            self.restart()
            raise
        if bool(torch.isfinite(output.sum())):
            self._after.set_result(memory)
        else:
            self.restart()
        return output[0]

    def restart(self) -> None:
        """The window has no output: the one after it starts without a memory."""
        self._after.set_result(self._network.fresh(1, *self._size))

    def abandon(self) -> None:
        """The window will never be run, nor those after it."""
        self._after.cancel()
