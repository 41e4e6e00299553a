"""One part of a network's work on rows, out of memory that is allocated once, as graphs.

Owns where the part reads its rows, and a graph for each number of them. Everything here is called
in the work of one CUDA stream.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from streamsr.engine.cuda.device import Device, Forward
from streamsr.networks.contract import Rows

__all__ = ["RowGraphs", "like_rows"]


class RowGraphs:
    """Runs ``work`` on up to ``most`` rows, each of them like the first of ``like``.

    The constructor raises torch.OutOfMemoryError.
    """

    def __init__(
        self, device: Device, work: Callable[[Rows], Rows], most: int, like: Sequence[Tensor]
    ) -> None:
        self.most = most
        self._device = device
        self._work = work
        self._given = like_rows(device, most, like)
        self._graphs: dict[int, Forward] = {}  # by how many rows each runs

    def run(self, rows: Sequence[Sequence[Tensor]]) -> Rows:
        """Runs the part on ``rows``, at most ``most`` of them, each with the tensors of ``like``.

        Returns a row each, which hold until any graph is run next. Raises torch.OutOfMemoryError.
        """
        count = len(rows)
        into = [given[number] for number in range(count) for given in self._given]
        torch._foreach_copy_(into, [tensor for row in rows for tensor in row])  # in few launches
        if count not in self._graphs:
            self._graphs[count] = self._device.graph(self._forward(count))
        first, rest = self._graphs[count]()
        return first, *rest

    def _forward(self, count: int) -> Forward:
        given = tuple(tensor[:count] for tensor in self._given)

        def forward() -> tuple[Tensor, Rows]:
            first, *rest = self._work(given)
            return first, tuple(rest)

        return forward


def like_rows(device: Device, count: int, like: Sequence[Tensor]) -> Rows:
    """Allocates ``count`` rows of each, in dtype and layout like its first row.

    Raises torch.OutOfMemoryError.
    """
    return tuple(_rows(device, count, tensor) for tensor in like)


def _rows(device: Device, count: int, like: Tensor) -> Tensor:
    shape = like.shape[1:]
    if like.dim() == 4 and like[:1].is_contiguous(memory_format=torch.channels_last):
        channels, height, width = shape
        memory = device.empty((count, height, width, channels), like.dtype)
        return memory.permute(0, 3, 1, 2)
    return device.empty((count, *shape), like.dtype)
