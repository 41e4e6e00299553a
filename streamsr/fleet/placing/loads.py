"""What each host carries while a placement is made: of those placed, and of those yet to be.

A camera that is not placed yet still counts on the host that it runs on (``resident``), so that no
other is put there that would only push it away while another host has room.
"""

from collections.abc import Iterable, Mapping, Sequence

from streamsr.fleet.placing.demand import Demand, HostRoom, Place

__all__ = ["Loads"]


class Loads:
    """The places given so far, and what they make of the hosts' room."""

    def __init__(
        self, demands: Iterable[Demand], hosts: Sequence[HostRoom], current: Mapping[str, Place]
    ) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.demands = {demand.name: demand for demand in demands}
        self.places: dict[str, Place] = {}
        self.given = dict.fromkeys(self.hosts, 0.0)
        self.resident = dict.fromkeys(self.hosts, 0.0)
        self.on: dict[str, set[str]] = {name: set() for name in self.hosts}
        self._able: dict[tuple[tuple[str, str], ...], list[HostRoom]] = {}
        for demand in self.demands.values():
            place = current.get(demand.name)
            if place is not None and place.host in self.hosts:
                self.resident[place.host] += self.cost(demand, place.host, place.rung)

    def able(self, demand: Demand) -> list[HostRoom]:
        """The hosts that have the camera's labels."""
        key = tuple(sorted(demand.labels.items()))
        if key not in self._able:
            self._able[key] = [host for host in self.hosts.values() if host.has(demand.labels)]
        return self._able[key]

    def cost(self, demand: Demand, host: str, rung: int) -> float:
        """What a camera takes on a host; of a rung that it has no more, of its last one."""
        costs = demand.costs[self.hosts[host].kind]
        return costs[rung] if rung < len(costs) else costs[-1]

    def settle(self, demand: Demand, place: Place) -> None:
        """No more counts a camera as resident: it is being placed."""
        if place.host in self.hosts:
            self.resident[place.host] -= self.cost(demand, place.host, place.rung)

    def give(self, demand: Demand, place: Place) -> None:
        """Gives a camera a place, in place of the one it was given before."""
        self.take(demand)
        self.places[demand.name] = place
        if place.host:
            self.given[place.host] += self.cost(demand, place.host, place.rung)
            self.on[place.host].add(demand.name)

    def take(self, demand: Demand) -> None:
        """Takes the place back that a camera was given."""
        place = self.places.pop(demand.name, None)
        if place is not None and place.host:
            self.given[place.host] -= self.cost(demand, place.host, place.rung)
            self.on[place.host].discard(demand.name)

    def free(self, host: str, share: float = 1.0) -> float:
        """What a share of the usable room has left beside the places given."""
        return self.hosts[host].usable * share - self.given[host]

    def free_with_reserve(self, host: str, share: float = 1.0) -> float:
        """What a share of all that a host has has left beside the places given."""
        found = self.hosts[host]
        return (found.usable + found.reserve) * share - self.given[host]

    def carried(self, host: str) -> float:
        """What a host carries, residents too, in shares of its usable room."""
        usable = self.hosts[host].usable
        load = self.given[host] + max(self.resident[host], 0.0)
        return load / usable if usable > 0 else float(load > 0)

    def best(
        self, demand: Demand, rung: int, share: float = 1.0, *, packed: bool = False
    ) -> str | None:
        """The host with room for a camera that carries least, or most where they are packed.

        One that pushes nobody away comes before one that does, and of those one where it begins at
        once before one where it has to wait. None where there is no room.
        """
        found: list[tuple[bool, bool, float, str]] = []
        for host in self.able(demand):
            cost = self.cost(demand, host.name, rung)
            if cost <= self.free(host.name, share):
                then = self.carried(host.name) + cost / host.usable
                pushes = then > share
                by_load = -then if packed and not pushes else then
                found.append((pushes, host.cold, by_load, host.name))
        return min(found)[3] if found else None
