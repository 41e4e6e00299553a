"""A network's runs on windows of one shape, out of memory that is allocated once.

Owns where the network reads its windows, their motion and the memories, and a graph for each number
of them. It knows no frame and no slot.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from streamsr.engine.cuda.device import Device, Forward
from streamsr.engine.cuda.row_graphs import RowGraphs, like_rows
from streamsr.networks.contract import Memory, RecurrentNetwork, Rows
from streamsr.networks.tiles import Tile

__all__ = ["Replays"]


class Replays:
    """Runs ``network`` on batches of up to ``rows`` windows, each of another stream.

    Those are like ``ring``, (window, c, h, w), their motion is like ``motion``, (h', w', 2), and
    what it remembers of a stream like ``state``. ``sized`` makes the results of what the network
    gives. Everything here is called in the work of one CUDA stream. The constructor raises
    torch.OutOfMemoryError.
    """

    def __init__(
        self,
        network: RecurrentNetwork[Any],
        sized: Callable[[Tensor], Tensor],
        device: Device,
        rows: int,
        ring: Tensor,
        motion: Tensor,
        state: Memory,
    ) -> None:
        self._network = network
        self._sized = sized
        self._device = device
        self._tile: tuple[int, RowGraphs] | None = None  # how many tiles, and what runs one
        self._forwards: dict[int, Forward] = {}  # by how many windows each runs
        like = (ring[None], motion[None], *state)
        self.windows, self._motion, *self._memory = like_rows(device, rows, like)

    def load(
        self, row: int, ring: Tensor, positions: Sequence[int], motion: Tensor, state: Memory
    ) -> None:
        """Copies a window out of a ring (positions, c, h, w) into a row, its motion and its
        stream's state too."""
        self._motion[row].copy_(motion)
        for place, position in enumerate(positions):
            self.windows[row, place].copy_(ring[position])
        for memory, kept in zip(self._memory, state, strict=True):
            memory[row].copy_(kept[0])

    def run(self, start: int, rows: int) -> tuple[Tensor, Memory]:
        """Runs ``rows`` windows from row ``start`` on; returns (rows, c, height, width) float32,
        and what they leave: zeros where that row is not finite.

        Both hold until the next run. Windows before ``start`` are used up; ``start`` is 0 or at
        least ``rows``. Raises torch.OutOfMemoryError, then ``start`` may be run again.
        """
        if start:  # graphs know only the first rows
            for read in (self.windows, self._motion, *self._memory):
                read[:rows].copy_(read[start : start + rows])
        if rows not in self._forwards:
            self._forwards[rows] = self._device.graph(self._forward(rows))
        return self._forwards[rows]()

    def tiled(self, row: int, tiles: Sequence[Tile]) -> tuple[Tensor, Memory]:
        """Runs the window in a row tile by tile; returns what ``run`` does of one.

        The network must remember nothing. Raises torch.OutOfMemoryError, then it may be run again.
        """
        window = self.windows[row]
        if self._tile is None or self._tile[0] != len(tiles):
            self._tile = None  # first, since its memory may serve again
            like = window[None, ..., : tiles[0].height, : tiles[0].width]
            self._tile = len(tiles), RowGraphs(self._device, self._whole, 1, [like])
        output: Tensor | None = None
        for tile in tiles:
            rows, columns = tile.read
            (made,) = self._tile[1].run([[window[..., rows, columns]]])
            scale = made.shape[-1] // tile.width
            if output is None:
                size = (side * scale for side in window.shape[2:])
                output = self._device.empty((1, made.shape[1], *size), made.dtype)
            tile.copy(made, output, scale)
        assert output is not None
        return self._sized(output), ()

    def _whole(self, given: Rows) -> Rows:
        (windows,) = given
        motion = self._motion[: len(windows)].permute(0, 3, 1, 2)
        return (self._network(windows, (), motion)[0].float(),)

    def keep(self, most: int) -> None:
        """Frees the graphs of tiles and of more than ``most`` windows, none of which may run."""
        self._tile = None
        self._forwards = {n: run for n, run in self._forwards.items() if n <= most}

    def _forward(self, rows: int) -> Forward:
        windows, memory = self.windows[:rows], tuple(kept[:rows] for kept in self._memory)
        motion = self._motion[:rows].permute(0, 3, 1, 2)

        def forward() -> tuple[Tensor, Memory]:
            output, left = self._network(windows, memory, motion)
            output = output.float()
            return self._sized(output), _restarted(left, output)

        return forward


def _restarted(memory: Memory, output: Tensor) -> Memory:
    """The memory, zeros in the rows whose output is not finite."""
    if not memory:
        return memory
    bad = ~torch.isfinite(output.flatten(1).sum(1))
    return tuple(left.masked_fill(bad.view(-1, *[1] * (left.dim() - 1)), 0) for left in memory)
