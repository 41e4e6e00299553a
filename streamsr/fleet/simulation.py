"""A fleet in simulated time: the real controller, hosts that only keep leases, a bad network.

Messages are late, lost and overtaken; hosts die, freeze and are cut off, the controller too. Each
host has a clock of its own. What may publish a camera, and when, is recorded: two hosts that ever
may at once are a fault, whatever has happened.
"""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from streamsr.fleet.controller import GRACE_S, Controller
from streamsr.fleet.lease import HostLease
from streamsr.fleet.messages import Assignment, CameraReport, HostReport, Orders, Wanted

__all__ = ["SimulatedFleet", "SimulatedHost", "SimulatedNetwork", "Start"]

ASK_S = 1.0  # between a host's reports


@dataclass(frozen=True, slots=True)
class SimulatedNetwork:
    """What becomes of a message on its way."""

    delay_s: tuple[float, float] = (0.001, 0.02)  # least and most
    lost: float = 0.0  # share

    def arrives_after(self, chance: random.Random) -> float | None:
        """Seconds until a message is there; None for never."""
        return None if chance.random() < self.lost else chance.uniform(*self.delay_s)


@dataclass(frozen=True, slots=True)
class Start:
    """A camera that was begun on a host."""

    camera: str
    host: str
    live_at: float  # when it is to deliver


@dataclass(slots=True)
class _Running:
    """A camera on a host."""

    epoch: int
    rung: int
    live_at: float  # when it has begun to deliver


@dataclass(slots=True)
class SimulatedHost:
    """A host: its lease, its cameras, and what is wrong with it."""

    name: str
    capacity: float
    kind: str = "plain"
    labels: Mapping[str, str] = field(default_factory=dict)
    offset_s: float = 0.0  # of its clock
    incarnation: int = 1
    up: bool = True
    frozen: bool = False
    cut: bool = False  # off from the controller
    lease: HostLease = field(default_factory=HostLease)
    running: dict[str, _Running] = field(default_factory=dict)
    held_back: list[tuple[float, Orders]] = field(default_factory=list)  # came while it was frozen

    def report(self, now: float, cost: Callable[[str, str, int], float]) -> HostReport:
        """Asks, at a moment of the world."""
        cameras = tuple(
            CameraReport(
                name,
                camera.epoch,
                "live" if now >= camera.live_at else "starting",
                cost=cost(name, self.kind, camera.rung) if now >= camera.live_at else 0.0,
                rung=camera.rung,
            )
            for name, camera in self.running.items()
        )
        sent = self.lease.asks(now + self.offset_s)
        return HostReport(
            host=self.name,
            incarnation=self.incarnation,
            sent=sent,
            labels=self.labels,
            kind=self.kind,
            capacity=self.capacity,
            load=sum(camera.cost for camera in cameras),
            cameras=cameras,
        )


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

    def start(self, host: str) -> None:
        """Starts a host that was killed: another process, that has nothing."""
        found = self.hosts[host]
        found.up, found.incarnation = True, found.incarnation + 1
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

    def start_controller(self, *, with_state: bool = True, known_gone: bool = True) -> None:
        """Starts another one, from what the last has kept or from nothing but the file.

        ``known_gone``: the last ran on this machine, and its process has ended.
        """
        restored = Controller.restored(self._state, self.now, 0.0 if known_gone else GRACE_S)
        self.controller = restored if with_state else Controller(restored.wanted, self.now)
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
        if self.controller is None:
            return
        orders = self.controller.report(report, self.now)
        self._keep()
        delay_s = self._network.arrives_after(self._chance)
        if delay_s is not None:
            sent, incarnation = report.sent, report.incarnation
            self.after(delay_s, partial(self._answered, host, incarnation, sent, orders))

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
        for name in host.running.keys() - ordered.keys():
            del host.running[name]
            self._rights[name].pop(host.name, None)
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

    def _runs(self, host: SimulatedHost, camera: Assignment) -> None:
        until = host.lease.until - host.offset_s
        for other, right in self._rights[camera.name].items():
            if other != host.name and right > self.now and until > self.now:
                self.faults.append(f"{self.now:.3f}: {camera.name} on {other} and {host.name}")
        self._rights[camera.name][host.name] = until
        before = host.running.get(camera.name)
        if before is None:
            live_at = self.now + self._chance.uniform(*self.start_s)
            self.starts.append(Start(camera.name, host.name, live_at))
        else:
            live_at = before.live_at
        host.running[camera.name] = _Running(camera.epoch, camera.rung, live_at)
