"""The real controller in simulated time, with hosts that only keep leases, on a bad network.

Messages are late, lost and overtaken; hosts die, freeze and are cut off, the controller too, which
then goes on beside the one in its place. Each host has a clock of its own. What may publish a
camera, and when, is recorded: two hosts that ever may at once are a fault, whatever has happened.
"""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Set
from functools import partial

from streamsr.fleet.confirmation import Confirmation
from streamsr.fleet.controller import GRACE_S, Controller
from streamsr.fleet.lease import HostLease
from streamsr.fleet.messages import Assignment, HostReport, Orders, Wanted
from streamsr.fleet.simulated.host import SimulatedCamera, SimulatedHost, SimulatedNetwork, Start

__all__ = ["SimulatedFleet"]

ASK_S = 1.0  # between a host's reports


class SimulatedFleet:
    """The world: a controller, hosts, and what happens to them."""

    def __init__(
        self,
        wanted: Wanted,
        hosts: list[SimulatedHost],
        *,
        cost: Callable[[str, str, int], float],
        seed: int = 0,
        network: SimulatedNetwork | None = None,
        start_s: tuple[float, float] = (0.5, 2.5),
    ) -> None:
        """``cost`` is what a camera takes on a kind of host at a rung; ``start_s`` to go live."""
        self.now = 0.0
        self.hosts = {host.name: host for host in hosts}
        self.controller: Controller | None = Controller(wanted, self.now)
        self.faults: list[str] = []  # two hosts that might publish one camera
        self.starts: list[Start] = []
        self._network = network or SimulatedNetwork()
        self._cost = cost
        self.start_s = start_s
        self._chance = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._rights: defaultdict[str, dict[str, float]] = defaultdict(dict)  # until, by host
        self._older: tuple[Controller, Confirmation] | None = None  # cut off from Ray, not hosts
        self._confirmation = Confirmation(self.controller)
        self._left: set[tuple[str, int]] = set()  # hosts that have noted that they ended
        self._state = self.controller.state()
        self._kept = self.controller.changes
        for host in hosts:
            self.after(self._chance.uniform(0, ASK_S), partial(self._asks, host, 1))
        self.after(ASK_S, self._ticks)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Has something happen that many seconds from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._number), what))

    def run(self, seconds: float) -> None:
        """Goes on for that time."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = end

    def kill(self, host: str) -> None:
        """Takes a host away, its network and all."""
        self.hosts[host].up = False

    def leave(self, host: str) -> None:
        """Ends a host's raylet: it ends what it runs, and says so where that can be heard."""
        found = self.hosts[host]
        if found.up and not found.frozen and not found.cut:
            found.draining = True
            self._ends(found, frozenset[str]())
            self._left.add((host, found.incarnation))
            self._tells(found, found.incarnation)
        found.up = False

    def start(self, host: str) -> None:
        """Starts a host that was killed: another process, that has nothing."""
        found = self.hosts[host]
        found.up, found.draining, found.incarnation = True, False, found.incarnation + 1
        found.lease, found.running, found.held_back = HostLease(), {}, []
        self._asks(found, found.incarnation)

    def freeze(self, host: str) -> None:
        """Stops a host's process, as SIGSTOP does."""
        self.hosts[host].frozen = True

    def thaw(self, host: str) -> None:
        """Has a frozen host go on: what came meanwhile is read now."""
        found = self.hosts[host]
        found.frozen = False
        held_back, found.held_back = found.held_back, []
        for sent, orders in held_back:
            self._answered(found, found.incarnation, sent, orders)

    def drain(self, host: str) -> None:
        """Has the controller drain a host. Raises UserError."""
        if self.controller is not None:
            self.controller.drain(host)
            self._keep()

    def kill_controller(self) -> None:
        """Ends the controller; what it has kept is left."""
        self.controller = None

    def cut_controller(self) -> None:
        """Cuts the controller off from Ray, which has another begin; hosts still reach it."""
        if self.controller is not None:
            self._older = self.controller, self._confirmation
            self.controller = None
            self.start_controller(known_gone=False)

    def start_controller(self, *, with_state: bool = True, known_gone: bool = True) -> None:
        """Starts another one, from what the last has kept or from nothing but the file.

        ``known_gone``: the last ran on this machine, and its process has ended.
        """
        others_s = 0.0 if known_gone and self._older is None else GRACE_S
        restored = Controller.restored(self._state, self.now, others_s, self._left)
        self.controller = restored if with_state else Controller(restored.wanted, self.now)
        self._confirmation = Confirmation(self.controller)
        self._left = set()
        self._kept = -1

    def live(self) -> dict[str, str]:
        """The host of every camera that is being published now."""
        return {
            name: host.name
            for host in self.hosts.values()
            if host.up and not host.frozen and host.lease.holds(self.now + host.offset_s)
            for name, camera in host.running.items()
            if self.now >= camera.live_at
        }

    def _keep(self) -> None:
        if self.controller is not None and self.controller.changes != self._kept:
            self._state, self._kept = self.controller.state(), self.controller.changes

    def _ticks(self) -> None:
        if self.controller is not None:
            self.controller.tick(self.now)
        self.after(ASK_S, self._ticks)

    def _asks(self, host: SimulatedHost, incarnation: int) -> None:
        if not host.up or host.incarnation != incarnation:
            return
        self.after(ASK_S, partial(self._asks, host, incarnation))
        if host.frozen:
            return
        report = host.report(self.now, self._cost)
        delay_s = self._network.arrives_after(self._chance)
        if delay_s is not None and not host.cut:
            self.after(delay_s, partial(self._reported, host, report))

    def _reported(self, host: SimulatedHost, report: HostReport) -> None:
        orders = self._orders(report)
        delay_s = self._network.arrives_after(self._chance)
        if delay_s is None:
            return
        sent, incarnation = report.sent, report.incarnation
        if orders is not None:
            self.after(delay_s, partial(self._answered, host, incarnation, sent, orders))
        elif self.controller is None and not host.apart:  # Ray says so
            self.after(delay_s, partial(self._goes_on, host, incarnation, sent))

    def _orders(self, report: HostReport) -> Orders | None:
        """What a controller answers, the older one now and then where there are two."""
        apart = self.hosts[report.host].apart
        if self._older is not None and (apart or self._chance.random() < 0.5):
            older, confirmation = self._older
            try:
                confirmation.takes(None, self.now, self.now)
            except ConnectionError:
                self._older = None
            else:
                return older.report(report, self.now)
        if self.controller is None or apart:
            return None
        self._confirmation.takes(True, self.now, self.now)
        orders = self.controller.report(report, self.now)
        self._keep()
        return orders

    def _goes_on(self, host: SimulatedHost, incarnation: int, asked: float) -> None:
        """A host prolongs its lease, as Ray has said that no controller ran."""
        if not host.up or host.incarnation != incarnation or host.cut or host.frozen:
            return
        policy = Controller.restored(self._state, self.now).wanted.policy
        if host.lease.extend(asked, self.now + host.offset_s, policy.lease_s):
            for name in host.running:
                self._may_publish(host, name)

    def _answered(self, host: SimulatedHost, incarnation: int, sent: float, orders: Orders) -> None:
        if not host.up or host.incarnation != incarnation or host.cut:
            return
        if host.frozen:
            host.held_back.append((sent, orders))
            return
        if not host.lease.takes(sent, orders):
            return
        ordered = {camera.name: camera for camera in orders.cameras}
        changed = ordered.keys() != host.running.keys()
        self._ends(host, ordered.keys())
        for camera in ordered.values():
            self._runs(host, camera)
        if changed:  # what it has ended may start elsewhere at once
            self.after(0.0, partial(self._tells, host, incarnation))

    def _tells(self, host: SimulatedHost, incarnation: int) -> None:
        """A report between two, of a host that has ended or begun something."""
        if host.up and host.incarnation == incarnation and not host.frozen and not host.cut:
            report = host.report(self.now, self._cost)
            delay_s = self._network.arrives_after(self._chance)
            if delay_s is not None:
                self.after(delay_s, partial(self._reported, host, report))

    def _ends(self, host: SimulatedHost, but: Set[str]) -> None:
        for name in host.running.keys() - but:
            del host.running[name]
            self._rights[name].pop(host.name, None)

    def _may_publish(self, host: SimulatedHost, name: str) -> None:
        until = host.lease.until - host.offset_s
        for other, right in self._rights[name].items():
            if other != host.name and right > self.now and until > self.now:
                self.faults.append(f"{self.now:.3f}: {name} on {other} and {host.name}")
        self._rights[name][host.name] = until

    def _runs(self, host: SimulatedHost, camera: Assignment) -> None:
        self._may_publish(host, camera.name)
        before = host.running.get(camera.name)
        if before is None:
            live_at = self.now + self._chance.uniform(*self.start_s)
            self.starts.append(Start(camera.name, host.name, live_at))
        else:
            live_at = before.live_at
        host.running[camera.name] = SimulatedCamera(camera.epoch, camera.rung, live_at)
