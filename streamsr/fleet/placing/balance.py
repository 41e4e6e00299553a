"""Moves that nobody needs but all gain by: hosts that carry too much give to those with little."""

from collections.abc import Iterator, Mapping

from streamsr.fleet.placing.demand import Demand, HostRoom, Place
from streamsr.fleet.placing.loads import Loads

__all__ = ["TOLERANCE", "even_out", "imbalance", "pack"]

TOLERANCE = 0.1  # of the mean: what a host may carry more or less
NOTHING = 1e-6  # of a host's room
EVEN = 0.09  # likewise, once hosts are evened out: what cameras take is known that well
MARGIN = 0.2  # by which a move has to help, or noise would undo it


def even_out(loads: Loads, moves: int) -> None:
    """Makes up to so many moves, as large as helps, until all carry the mean within a tenth."""
    for _ in range(moves):
        found = _Excess(loads).best_move()
        if found is None:
            return
        demand, host = found
        before = loads.places[demand.name]
        loads.give(demand, Place(host, before.rung, f"moved from {before.host}, which had more"))


class _Excess:
    """What each host carries above the mean of all, in shares of its room: below 0 where less."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads
        self._room = {name: host.usable for name, host in loads.hosts.items() if host.usable > 0}
        total = sum(self._room.values())
        self._mean = sum(loads.given[name] for name in self._room) / total if total else 0.0
        self._excess = {name: loads.given[name] - self._mean * r for name, r in self._room.items()}

    def best_move(self) -> tuple[Demand, str] | None:
        """The camera to move and where to; None where all is even, or no move makes it more so."""
        loaded = self._room if self._mean > NOTHING else {}
        uneven = [name for name in loaded if self._share(name) > EVEN]
        for name in sorted(uneven, key=self._share, reverse=True):
            others = [other for other in self._room if other != name]
            if self._excess[name] > 0:
                found = [way for other in others for way in self._ways(name, other)]
            else:
                found = [way for other in others for way in self._ways(other, name)]
            if found:
                _, _, camera, target = min(found)
                return self._loads.demands[camera], target
        return None

    def _share(self, name: str, more: float = 0.0) -> float:
        """How far a host is from the mean, in shares of that, with so much more on it."""
        return abs(self._excess[name] + more) / (self._mean * self._room[name])

    def _ways(self, source: str, target: str) -> Iterator[tuple[bool, float, str, str]]:
        """Moves that help, the best the least: those that leave the source near the mean first."""
        over, under = self._excess[source], self._excess[target]
        if over <= under:
            return
        for name in self._loads.on[source]:
            demand, rung = self._loads.demands[name], self._loads.places[name].rung
            there = self._loads.cost(demand, target, rung)
            if demand.pin == source or not self._loads.hosts[target].has(demand.labels):
                continue
            here = self._loads.cost(demand, source, rung)
            gain = (over - here) ** 2 + (under + there) ** 2 - over**2 - under**2
            if gain < -MARGIN * here * there and there <= self._loads.free(target):
                yield self._share(source, -here) > TOLERANCE and over < here, gain, name, target


def pack(loads: Loads, moves: int) -> None:
    """Empties the host that carries least, if all that it has finds room elsewhere.

    At most so many moves are made now, the others later.
    """
    taken = [name for name in loads.hosts if loads.on[name]]
    for source in sorted(taken, key=loads.carried):
        if _emptied(loads, source, [name for name in taken if name != source], moves):
            return


def _emptied(loads: Loads, source: str, others: list[str], moves: int) -> bool:
    planned: list[tuple[Demand, str]] = []
    coming = dict.fromkeys(others, 0.0)
    for name in sorted(loads.on[source]):
        demand, rung = loads.demands[name], loads.places[name].rung
        room = {
            host: loads.free(host, 0.9) - coming[host] - loads.cost(demand, host, rung)
            for host in others
            if loads.hosts[host].has(demand.labels)
        }
        fitting = [host for host, left in room.items() if left >= 0]
        if demand.pin == source or not fitting:
            return False
        host = min(fitting, key=lambda host: (room[host], host))
        coming[host] += loads.cost(demand, host, rung)
        planned.append((demand, host))
    for demand, host in planned[:moves]:
        rung = loads.places[demand.name].rung
        loads.give(demand, Place(host, rung, f"moved from {source}, which is to be empty"))
    return bool(planned)


def imbalance(load: Mapping[str, float], hosts: Mapping[str, HostRoom]) -> float:
    """The largest share by which a host's load per room differs from the mean; 0 of none."""
    room = sum(host.usable for host in hosts.values())
    mean = sum(load.values()) / room if room else 0.0
    if not mean:
        return 0.0
    return max(abs(load[n] / host.usable / mean - 1) for n, host in hosts.items() if host.usable)
