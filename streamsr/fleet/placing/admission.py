"""Who runs, where, and by which rung: the highest priority first, each where it is if it can be.

Of each priority, cameras stay as they are where there is still room for them. The others find a
host; where there is none they run by the cheaper fallback, or others of the same priority do so
that they may run at all. Those that had fallen back return where there is room again. What is left
is for the next priority. Half of the highest priority never falls back for want of room. What has
no room then takes of the reserve; what that has no room for does not run.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from streamsr.fleet.placing.demand import Demand, Place
from streamsr.fleet.placing.loads import Loads

__all__ = ["admit"]

KEEP = 1.05  # of the usable room: what a host carries before anyone has to leave
RETURN = 0.95  # of it: where there is so much room a camera comes back, or rises again


def admit(loads: Loads, current: Mapping[str, Place], *, packed: bool) -> None:
    """Gives every camera a place, which may be nowhere, with the reason."""
    priorities = sorted({demand.priority for demand in loads.demands.values()}, reverse=True)
    for n, priority in enumerate(priorities):
        group = [demand for demand in loads.demands.values() if demand.priority == priority]
        _Group(loads, current, group, packed=packed, highest=n == 0).admit()


class _Group:
    """The cameras of one priority."""

    def __init__(
        self,
        loads: Loads,
        current: Mapping[str, Place],
        group: Sequence[Demand],
        *,
        packed: bool,
        highest: bool,
    ) -> None:
        self._loads = loads
        self._current = current
        self._group = group
        self._packed = packed
        self._highest = highest

    @cached_property
    def _too_large(self) -> set[str]:
        return {demand.name for demand in self._group if self._fits_nowhere(demand)}

    def _fits_nowhere(self, demand: Demand) -> bool:
        """Whether not even an empty host holds a camera as it is asked for."""
        able = self._loads.able(demand)
        return all(self._loads.cost(demand, host.name, 0) > host.usable for host in able)

    def admit(self) -> None:
        homeless = [demand for demand in self._cheapest_first() if not self._keep(demand)]
        for demand in sorted(homeless, key=lambda d: (self._waits(d), -self._most(d))):
            self._place(demand)
        for demand in self._group:
            self._raise(demand)

    def _cheapest_first(self) -> Iterable[Demand]:
        """Those moved by hand, then the cheap ones: where there is too much, few leave."""
        return sorted(self._group, key=lambda demand: (not demand.pin, self._most(demand)))

    def _waits(self, demand: Demand) -> bool:
        """Whether it does not run, for want of room: those that do come first."""
        before = self._current.get(demand.name)
        return before is not None and not before.host

    def _most(self, demand: Demand) -> float:
        return max((costs[0] for costs in demand.costs.values()), default=0.0)

    def _keep(self, demand: Demand) -> bool:
        """Leaves a camera as it is. Returns False where that cannot be."""
        place = self._current.get(demand.name, Place(""))
        self._loads.settle(demand, place)
        if demand.pin and demand.pin != place.host and self._pinned(demand):
            return True
        if place.host not in self._loads.hosts or place.rung >= demand.rungs:
            return False
        cost = self._loads.cost(demand, place.host, place.rung)
        able = self._loads.hosts[place.host].has(demand.labels)
        if not able or cost > self._loads.free(place.host, KEEP):
            return False
        self._loads.give(demand, place)
        return True

    def _pinned(self, demand: Demand) -> bool:
        host = self._loads.hosts.get(demand.pin)
        if host is None or not host.has(demand.labels):
            return False
        for rung in range(demand.rungs):
            if self._loads.cost(demand, host.name, rung) <= self._loads.free(host.name):
                self._loads.give(demand, Place(host.name, rung, "moved there by hand"))
                return True
        return False

    def _place(self, demand: Demand) -> None:
        """Finds a camera a host, by the fallback where it must be, or says why there is none."""
        before = self._current.get(demand.name)
        share = RETURN if self._waits(demand) else 1.0
        for rung in range(demand.rungs):
            host = self._loads.best(demand, rung, share, packed=self._packed)
            if rung and demand.name not in self._too_large and self._left_to_fall() <= 0:
                break
            if host is not None:
                reason = _fallen(demand) if rung else self._why(demand, before)
                self._loads.give(demand, Place(host, rung, reason))
                return
        if not self._made_room(demand) and not self._took_reserve(demand, before):
            self._loads.give(demand, Place("", 0, self._why_not(demand)))

    def _took_reserve(self, demand: Demand, before: Place | None) -> bool:
        """Has a camera that would not run otherwise take of what hosts keep free.

        It stays where it is, if it does already.
        """
        fallback = self._left_to_fall() > 0 or demand.name in self._too_large
        rung = demand.rungs - 1 if fallback else 0
        ways = []
        for host in self._loads.able(demand):
            stays = before is not None and before.host == host.name
            share = KEEP if stays else RETURN if self._waits(demand) else 1.0
            free = self._loads.free_with_reserve(host.name, share)
            if self._loads.cost(demand, host.name, rung) <= free:
                ways.append((not stays, -free, host.name))
        if ways:
            reason = f"too little room, and its priority is {demand.priority}: it is in the reserve"
            self._loads.give(demand, Place(min(ways)[2], rung, reason))
        return bool(ways)

    def _left_to_fall(self) -> int:
        """How many more of this priority may fall back for want of room."""
        names = (demand.name for demand in self._group if demand.name not in self._too_large)
        places = (self._loads.places.get(name, Place("")) for name in names)
        rest = len(self._group) - len(self._too_large)
        may_fall = (rest + 1) // 2 if self._highest else rest
        return may_fall - sum(bool(place.host) and place.rung > 0 for place in places)

    def _made_room(self, demand: Demand) -> bool:
        """Has others of this priority fall back, as few as do, so that a camera has room to."""
        if demand.rungs < 2:
            return False
        most = self._left_to_fall() - (demand.name not in self._too_large)
        ways = []
        for host in self._loads.able(demand):
            falling = self._falling(host.name, self._loads.cost(demand, host.name, 1))
            if falling is not None and len(falling) <= most:
                ways.append((len(falling), host.name, falling))
        if not ways:
            return False
        _, name, falling = min(ways, key=lambda way: way[:2])
        for other in falling:
            self._loads.give(other, Place(name, 1, _fallen(other)))
        self._loads.give(demand, Place(name, 1, _fallen(demand)))
        return True

    def _falling(self, host: str, cost: float) -> list[Demand] | None:
        """Who has to fall back for so much room on a host; None where that is not enough."""

        def saved(demand: Demand) -> float:
            return self._loads.cost(demand, host, 0) - self._loads.cost(demand, host, 1)

        here = [
            demand
            for demand in self._group
            if demand.name in self._loads.on[host]
            and demand.rungs > 1
            and self._loads.places[demand.name].rung == 0
        ]
        falling, free = [], self._loads.free(host)
        for demand in sorted(here, key=saved, reverse=True):
            if free >= cost:
                break
            falling.append(demand)
            free += saved(demand)
        return falling if free >= cost else None

    def _raise(self, demand: Demand) -> None:
        """Has a camera that had fallen back run as asked, where there is room: best where it is."""
        place, before = self._loads.places[demand.name], self._current.get(demand.name)
        if not place.host or not place.rung or before is None or not before.rung:
            return
        self._loads.take(demand)
        here = self._loads.cost(demand, place.host, 0)
        usable = self._loads.hosts[place.host].usable
        pushes = usable > 0 and self._loads.carried(place.host) + here / usable > RETURN
        fits = here <= self._loads.free(place.host, RETURN)
        stays = (fits and not pushes) or demand.pin == place.host
        host = place.host if stays else self._loads.best(demand, 0, RETURN)
        if host == place.host and not fits:
            host = None
        if host is None:
            self._loads.give(demand, place)
        else:
            self._loads.give(demand, Place(host, 0, "there is room for it again"))

    def _why(self, demand: Demand, before: Place | None) -> str:
        if before is None or not before.host:
            return "" if before is None else "there is room for it again"
        return f"moved from {before.host}"

    def _why_not(self, demand: Demand) -> str:
        able = self._loads.able(demand)
        if not self._loads.hosts:
            return "no host is up"
        if not able:
            labels = ", ".join(f"{key}={value}" for key, value in sorted(demand.labels.items()))
            return f"no host that is up has {labels}"
        least = min(self._loads.cost(demand, host.name, demand.rungs - 1) for host in able)
        free = max(self._loads.free(host.name) for host in able)
        return (
            f"too little room, and its priority is {demand.priority}: it takes {least:.0f} ms/s of "
            f"CPU, the freest of {len(able)} hosts has {max(free, 0):.0f}"
        )


def _fallen(demand: Demand) -> str:
    return f"too little room, and its priority is {demand.priority}: it runs by its fallback"
