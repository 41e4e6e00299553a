"""Frames in tiles: what a network that sees only so far must be given to restore a part of one.

All tiles of a frame are of one size, so that one graph or one allocation serves them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Tile", "tile_counts", "tiles_of"]

COUNTS = (2, 4, 8, 16)
WORTH = 0.85  # of the area that is read without more tiles: at most, or they save too little


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a frame: what is read of it, and what is kept of that. In pixels of the frame."""

    top: int
    left: int
    height: int
    width: int
    first_row: int  # of what is kept, in the frame
    first_column: int
    rows: int
    columns: int

    @property
    def read(self) -> tuple[slice, slice]:
        """What is read of the frame: rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def kept(self) -> tuple[slice, slice]:
        """What is kept, in the frame."""
        rows = slice(self.first_row, self.first_row + self.rows)
        return rows, slice(self.first_column, self.first_column + self.columns)

    def copy(self, made: Tensor, output: Tensor, scale: int) -> None:
        """Copies what is kept of ``made``, (..., scale * height, scale * width), into the frame's
        ``output``."""
        into, start = self.kept, (self.top, self.left)
        given = tuple(
            slice((place.start - first) * scale, (place.stop - first) * scale)
            for place, first in zip(into, start, strict=True)
        )
        to = tuple(slice(place.start * scale, place.stop * scale) for place in into)
        output[..., to[0], to[1]].copy_(made[..., given[0], given[1]])


def tiles_of(size: tuple[int, int], count: int, reach: int, multiple: int) -> Sequence[Tile]:
    """Returns ``count`` tiles of a frame of ``size`` (height, width), both of which, and all sides
    and places of tiles, are multiples of ``multiple``.

    Around what is kept of a tile, ``reach`` pixels are read, or up to the frame's edge.
    """
    height, width = size
    grids = [(down, count // down) for down in range(1, count + 1) if count % down == 0]
    down, across = min(grids, key=lambda grid: _area(size, grid, reach, multiple))
    return [
        Tile(top, left, tall, wide, row, column, rows, columns)
        for top, tall, row, rows in _spans(height, down, reach, multiple)
        for left, wide, column, columns in _spans(width, across, reach, multiple)
    ]


def tile_counts(
    size: tuple[int, int], reach: int, multiple: int, counts: Sequence[int] = COUNTS
) -> list[int]:
    """Returns into how many tiles, of ``counts``, a frame is divided so that each takes less."""
    useful, least = [], float(size[0] * size[1])
    for count in counts:
        tiles = tiles_of(size, count, reach, multiple)
        area = tiles[0].height * tiles[0].width
        if area <= WORTH * least:
            useful.append(count)
            least = area
    return useful


def _area(size: tuple[int, int], grid: tuple[int, int], reach: int, multiple: int) -> int:
    height, width = size
    return _read(height, grid[0], reach, multiple) * _read(width, grid[1], reach, multiple)


def _core(length: int, parts: int, multiple: int) -> int:
    return -(-length // (parts * multiple)) * multiple


def _read(length: int, parts: int, reach: int, multiple: int) -> int:
    around = 2 * (-(-reach // multiple) * multiple)
    return min(length, _core(length, parts, multiple) + around)


def _spans(
    length: int, parts: int, reach: int, multiple: int
) -> Iterator[tuple[int, int, int, int]]:
    """Start and length of what is read, and of what is kept, of each part of an axis."""
    core, read = _core(length, parts, multiple), _read(length, parts, reach, multiple)
    around = -(-reach // multiple) * multiple
    for first in range(0, length, core):
        start = min(max(first - around, 0), length - read)
        yield start, read, first, min(core, length - first)
