"""How windows of a streaming network run in so much of a CPU's memory, and how much there is.

Pure but for ``free_bytes``. All figures of a ``Footprint`` are for a network in its precision.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from streamsr.networks.tiles import tile_counts, tiles_of

__all__ = ["Footprint", "MemoryPlan", "free_bytes", "limit_bytes", "plan_for"]

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # of a container
MOST_BYTES = 2000 << 20  # of one stream's network, where nobody says how much
COUNTS = 2, 4, 8, 16, 32, 64  # of tiles
SHARE = 0.5  # of what is free, likewise


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a streaming network takes for each pixel of a frame, in bytes."""

    pixels: float  # of a frame
    features: float  # of a frame, for all windows that it is in
    reference: float  # of a window's reference, besides
    aligned: float  # of each frame of a window
    working: float  # of one thread at work on any of these
    output: float  # of a window
    window: int  # frames
    lookahead: int

    def streamed(self, windows: int, ahead: int, workers: int) -> float:
        """Of a stream with so many ``windows`` being aligned, that many frames ``ahead`` of the
        newest window's, and so many threads at work."""
        frames = (self.window + ahead) * (self.pixels + self.features)
        aligned = windows * (self.reference + self.window * self.aligned)
        return frames + aligned + workers * (self.working + self.output)

    def alone(self) -> float:
        """Of a window of which nothing is kept for others, its frames' pixels aside: features of
        its reference, and of one frame at a time."""
        aligned = self.reference + self.window * self.aligned
        return 2 * self.features + aligned + self.working + self.output


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A way to run a stream's windows."""

    at_once: int  # pieces of work, at most
    in_order: bool = False  # no window is begun ahead of those before it
    tiles: int = 0  # parts of a frame, one after the other, nothing kept; 0: frames are whole

    @property
    def text(self) -> str:
        """What it means, for those who watch; "" where it is all that there could be."""
        if self.tiles > 1:
            return f"frames are upscaled in {self.tiles} tiles"
        if self.tiles:
            return "nothing is kept between windows"
        return "windows run one after the other" if self.in_order else ""


def plan_for(
    needs: Footprint, size: tuple[int, int], reach: int, multiple: int, workers: int, limit: float
) -> MemoryPlan:
    """Returns how frames of ``size`` (height, width) run in ``limit`` bytes by ``workers`` threads:
    the quickest way that fits, or the one that takes least.

    ``reach`` and ``multiple`` are the network's; 0: its frames cannot be divided.
    """
    area = size[0] * size[1]
    if area * needs.streamed(needs.lookahead + 1, workers, workers) <= limit:
        return MemoryPlan(workers)
    for at_once in range(workers, 0, -1):
        if area * needs.streamed(1, 1, at_once) <= limit:
            return MemoryPlan(at_once, in_order=True)
    return _tiled(needs, size, reach, multiple, workers, limit)


def _tiled(
    needs: Footprint, size: tuple[int, int], reach: int, multiple: int, workers: int, limit: float
) -> MemoryPlan:
    counts = [1, *(tile_counts(size, reach, multiple, COUNTS) if reach else ())]
    left = limit - size[0] * size[1] * (needs.window + 1) * needs.pixels
    plans: dict[MemoryPlan, float] = {}
    for count in counts:
        tiles = tiles_of(size, count, reach, multiple)
        area = tiles[0].height * tiles[0].width
        whole = size[0] * size[1] * needs.output  # is put together of its tiles
        at_once = min(workers, int(left // (area * needs.alone() + whole)))
        if at_once > 0:
            plans[MemoryPlan(at_once, in_order=True, tiles=count)] = len(tiles) * area / at_once
    return min(plans, key=plans.__getitem__, default=MemoryPlan(1, in_order=True, tiles=counts[-1]))


def limit_bytes(asked: int | None) -> float:
    """Returns what a stream's network may take: as ``asked``, else a share of what is free."""
    return asked if asked is not None else min(MOST_BYTES, SHARE * free_bytes())


def free_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> float:
    """Returns what this process can still take of the machine, or of its container; infinity where
    the system does not say."""
    free = float("inf")
    for line in _lines(meminfo):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit, used = (next(iter(_lines(cgroup / f"memory.{name}")), "") for name in ("max", "current"))
    if limit.isdecimal() and used.isdecimal():
        free = min(free, max(0, int(limit) - int(used)))
    return free


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return ()
