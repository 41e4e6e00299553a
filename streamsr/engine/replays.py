"""A network's runs on windows of one shape, out of memory that is allocated once.

Owns the windows' memory and a graph for each number of them. It knows no frame and no slot.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from streamsr.engine.device import Device, Forward

__all__ = ["Replays"]

logger = logging.getLogger("streamsr")


class Replays:
    """Runs ``network`` on batches of up to ``rows`` windows of ``shape``: (window, c, h, w).

    Where the device has not the memory for so many, it is tried with half as many, and so on.
    Everything here is called in the work of one stream, but for the constructor.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        device: Device,
        rows: int,
        shape: Sequence[int],
        dtype: torch.dtype,
    ) -> None:
        self._network = network
        self._device = device
        self._forwards: dict[int, Forward] = {}  # by how many windows each runs
        self.windows = _allocated(device, rows, shape, dtype)
        self.limit = len(self.windows)  # windows that run as one batch; less once memory is short

    def load(self, row: int, ring: Tensor, positions: Sequence[int]) -> None:
        """Copy a window into a row, out of a ring (positions, c, h, w)."""
        for place, position in enumerate(positions):
            self.windows[row, place].copy_(ring[position])

    def run(self, start: int, rows: int) -> Tensor:
        """Run ``rows`` windows from row ``start`` on; give (rows, c, s*h, s*w) float32.

        The output holds until the next run. Windows before ``start`` are used up; ``start`` is 0
        or at least ``rows``. Raises torch.OutOfMemoryError, then ``start`` may be run again.
        """
        if start:  # graphs know only the first rows
            self.windows[:rows].copy_(self.windows[start : start + rows])
        if rows not in self._forwards:
            self._forwards[rows] = self._device.graph(self._forward(rows))
        return self._forwards[rows]()

    def lower(self, limit: int) -> None:
        """Run at most ``limit`` windows as one batch from now on: the memory is short."""
        self.limit = limit
        self._forwards = {n: run for n, run in self._forwards.items() if n <= limit}
        logger.warning("the device's memory is full: at most %d windows run as one batch", limit)

    def _forward(self, rows: int) -> Forward:
        windows = self.windows[:rows]
        return lambda: self._network(windows).float()


def _allocated(device: Device, rows: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Memory for ``rows`` windows, or for as many halves of them as there is room."""
    while rows > 1:
        try:
            return device.empty((rows, *shape), dtype)
        except torch.OutOfMemoryError:
            rows //= 2
    return device.empty((1, *shape), dtype)
