"""What a camera takes on one kind of host for each ms on another, as their trials say. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from streamsr.fleet.messages import HostReport

__all__ = ["Speeds"]


@dataclass(frozen=True, slots=True)
class _PixelCost:
    """What a host has and does, as one figure: ms of CPU time by a megapixel. 0: not known."""

    network: float
    path: float

    def of(self, *, plain: bool) -> float:
        return self.path if plain else self.network


class Speeds:
    """The trials of kinds of hosts. ``plain`` is a camera without a network."""

    def __init__(self) -> None:
        self._costs: dict[str, _PixelCost] = {}

    def learn(self, report: HostReport) -> bool:
        """Takes in a host's trial; of a kind the first counts. Returns whether it is news."""
        if report.kind in self._costs or not (report.network_mpx and report.path_mpx):
            return False
        network, path = (report.capacity / mpx for mpx in (report.network_mpx, report.path_mpx))
        self._costs[report.kind] = _PixelCost(network, path)
        return True

    def ratio(self, kind: str, other: str, *, plain: bool) -> float | None:
        """Returns what a camera takes on ``kind`` for each ms on ``other``; None: not known."""
        if kind in self._costs and other in self._costs:
            return self._costs[kind].of(plain=plain) / self._costs[other].of(plain=plain)
        return None

    def share(self, kind: str, kinds: Collection[str], *, plain: bool) -> float:
        """Returns what a camera takes on ``kind`` for each ms on the slowest of all."""
        ratios = (self.ratio(kind, other, plain=plain) for other in kinds)
        return min((ratio for ratio in ratios if ratio is not None), default=1.0)
