"""The one that decides which host runs which camera. Without Ray, threads or a clock of its own.

Each host's report is answered with all that it shall run. What decides is level-triggered:
placement is made again from what there is whenever that changes, and once a second. No two hosts
ever may publish one camera (``Leases``). A controller that starts does not know who is there: until
all have reported that may have a camera, for the length of a lease at most, it moves nothing. What
hosts report that its state lacks is theirs afterwards.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from streamsr.core.errors import UserError, nearest
from streamsr.fleet.hosts import Hosts
from streamsr.fleet.leases import Claims, Leases
from streamsr.fleet.messages import (
    Assignment,
    FleetStatus,
    HostAddress,
    HostReport,
    Orders,
    Wanted,
)
from streamsr.fleet.moving import check_move
from streamsr.fleet.placement import place
from streamsr.fleet.placing.costs import CostTable
from streamsr.fleet.placing.demand import HostRoom, Place
from streamsr.fleet.placing.demands import Demands
from streamsr.fleet.placing.rungs import at_rung
from streamsr.fleet.stillness import Stillness
from streamsr.fleet.stored import Stored
from streamsr.fleet.view import addresses_of, status_of

__all__ = ["GRACE_S", "Controller"]

GRACE_S = 3.0  # in which a controller that cannot ask whether it still is one prolongs leases
EVERY_S = 1.0  # between placements where nothing has happened
CALM_S = 5.0  # without a change before hosts are evened out
AT_ONCE = 0.05  # of the cameras, that move for that


class Controller:
    """All that a fleet knows, and what it decides. ``now`` is a monotonic clock, in seconds.

    ``changes`` rises with what a controller after this one must know: ``state()`` is to be kept
    before an answer is handed out that has raised it.
    """

    def __init__(self, wanted: Wanted, now: float, stored: Stored | None = None) -> None:
        stored = stored or Stored(wanted)
        self.changes = 0
        self._wanted = wanted
        self._cameras = {camera.name: camera for camera in wanted.cameras}
        self._hosts = Hosts(stored.drained)
        self._places = dict(stored.places)
        self._pins = dict(stored.pins)
        self._demands = Demands(self._cameras, CostTable(stored.costs))
        self._claims = Claims()
        self._at: defaultdict[str, list[str]] = defaultdict(list)  # cameras, by host
        self._up: set[str] = set()
        self._at_rest: object = None  # what a placement changed nothing for, and would again
        self._longest_s = max(stored.lease_s, wanted.policy.lease_s)  # leases that hosts may have
        self._longest_until = until = now + self._longest_s
        self._still = Stillness(now, self._longest_s)
        leases = {camera: replace(lease, until=until) for camera, lease in stored.leases.items()}
        self._leases = Leases(leases)
        self._called = self._placed_at = self._changed_at = now
        self._due = True  # placement
        self._index()

    @classmethod
    def restored(
        cls,
        data: bytes,
        now: float,
        others_s: float = 0.0,
        left: Collection[tuple[str, int]] = (),
    ) -> "Controller":
        """A controller that goes on from the ``state()`` of another, which for ``others_s`` more
        may prolong what hosts have: 0 where its process is known to be gone. ``left`` are hosts,
        with their incarnations, that have said since that they publish no more. Raises UserError.
        """
        stored = Stored.of_bytes(data)
        controller = cls(stored.wanted, now, stored)
        controller._leases.end(left, now)
        if others_s:
            controller.hold(controller._still.until + others_s)
        else:
            controller._still.awaits(controller._leases.holders(now))
        return controller

    def state(self) -> bytes:
        """All that ``restored`` goes on from; it holds secrets."""
        return Stored(
            self._wanted,
            self._places,
            dict(self._leases.by_camera),
            self._pins,
            self._hosts.drained,
            self._demands.costs.known(),
            self._longest(self._called),
        ).to_bytes()

    def hold(self, until: float) -> None:
        """Only prolongs what hosts have before then: another process may be deciding, too."""
        self._still.hold(until)

    @property
    def wanted(self) -> Wanted:
        """What the fleet is to run."""
        return self._wanted

    def want(self, wanted: Wanted, now: float) -> None:
        """Takes another version of what is wanted; it replaces the one before whole."""
        self._longest_s = self._longest(now)
        self._longest_until = now + self._longest_s
        self._wanted = wanted
        self._cameras = {camera.name: camera for camera in wanted.cameras}
        self._demands.want(self._cameras)
        self._pins = {name: host for name, host in self._pins.items() if name in self._cameras}
        self._change(now)

    def report(self, report: HostReport, now: float) -> Orders:
        """Takes a host's report, and answers with all that it shall run.

        An older process of the same host, and a report that others have overtaken, get nothing.
        """
        self._wake(now)
        policy = self._wanted.policy
        if not self._hosts.up(now, policy.lease_s):  # the others may return as well
            self._be_still(now)
        news = self._hosts.take(report, now, policy.lease_s)
        if news is None:
            return Orders(policy.lease_s, (), self._wanted.version, self._wanted.groups)
        self._leases.release(report, now)
        if now in self._still:
            self._claims.take(report, self._leases)
            self._still.reported(report.host, report.lease_s, now)
        self._demands.learn(report)
        if news:
            self._change(now)
        self._place_if_due(now)
        return self._orders(report, now)

    def tick(self, now: float) -> None:
        """Notices who has gone, and evens out; to be called once a second."""
        self._wake(now)
        self._place_if_due(now)
        self.changes += self._demands.are_to_be_kept(now)
        self._hosts.forget(now)
        gone = [
            camera
            for camera, lease in self._leases.by_camera.items()
            if camera not in self._cameras and now - lease.until > self._wanted.policy.lease_s
        ]
        self._leases.forget(gone)

    def drain(self, host: str) -> None:
        """Has nothing run on a host until its process starts again. Raises UserError."""
        self._hosts.require(host)
        self._hosts.drain(host)
        self._due = True
        self.changes += 1

    def move(self, camera: str, host: str) -> None:
        """Moves a camera to a host, where it stays while that is up; "": where it suits.

        Raises UserError.
        """
        if camera not in self._cameras:
            hint = nearest(camera, self._cameras)
            raise UserError(f"camera: got {camera!r}, which the fleet does not have{hint}")
        if host:
            self._hosts.require(host)
            self._room_for(camera, host)
            self._pins[camera] = host
        else:
            self._pins.pop(camera, None)
        self._demands.invalidate()
        self._due = True
        self.changes += 1

    def status(self, now: float) -> FleetStatus:
        """How the fleet stands."""
        return status_of(
            self._wanted, self._hosts, self._places, self._leases, self._demands.last, now
        )

    def addresses(self, now: float) -> tuple[HostAddress, ...]:
        """Where the nodes of the hosts that are up serve."""
        return addresses_of(self._hosts, self._wanted.policy.lease_s, now)

    def _longest(self, now: float) -> float:
        """The longest lease that a host may have, where ``lease_s`` was shortened, too."""
        return max(self._wanted.policy.lease_s, self._longest_s * (now < self._longest_until))

    def _room_for(self, camera: str, host: str) -> None:
        """Raises UserError where a camera that is moved to a host would not run there."""
        rooms, pins = self._rooms(self._called), {**self._pins, camera: host}
        self._demands.invalidate()
        demands = self._demands.on(rooms, pins) if rooms else {}
        check_move(camera, host, demands, rooms, self._places)

    def _wake(self, now: float) -> None:
        """Notices that the controller itself stood still: hosts could not report meanwhile."""
        if now - self._called > self._wanted.policy.lease_s:
            self._be_still(now)
        self._called = now

    def _be_still(self, now: float) -> None:
        self._still.begin(now, self._wanted.policy.lease_s, self._leases.holders(-math.inf))

    def _change(self, now: float) -> None:
        self._due = True
        self._demands.invalidate()
        self._changed_at = now
        self.changes += 1

    def _rooms(self, now: float) -> list[HostRoom]:
        return self._hosts.rooms(self._wanted.policy, now)

    def _adopt(self) -> None:
        """Leaves cameras where the highest epoch is."""
        for camera, rung in self._claims.adopted(self._leases, self._cameras):
            self._places[camera] = Place(self._leases.last_host(camera), rung, "")

    def _place_if_due(self, now: float) -> None:
        up = self._hosts.up(now, self._wanted.policy.lease_s)
        if up != self._up:
            self._up = up
            self._change(now)
        if now in self._still or not up:
            return
        if self._due or now - self._placed_at >= EVERY_S:
            self._adopt()
            self._place(now)

    def _place(self, now: float) -> None:
        self._due, self._placed_at = False, now
        rooms = self._rooms(now)
        names = {room.name for room in rooms}
        self._pins = {name: host for name, host in self._pins.items() if host in names}
        calm = now - self._changed_at >= CALM_S and not self._moving(now)
        calm &= not any(room.cold for room in rooms)
        demands = self._demands.on(rooms, self._pins)
        if self._at_rest == (demands, rooms, calm):
            return
        placement = place(
            list(demands.values()),
            rooms,
            self._places,
            spread=self._wanted.policy.spread,
            moves=max(1, round(AT_ONCE * len(self._cameras))) if calm else 0,
        )
        if _bare(placement.places) != _bare(self._places):
            self._at_rest = None
            self.changes += 1
        else:
            self._at_rest = demands, rooms, calm
        self._places = dict(placement.places)
        self._index()

    def _index(self) -> None:
        self._at.clear()
        for camera, where in self._places.items():
            self._at[where.host].append(camera)

    def _moving(self, now: float) -> bool:
        """Whether a camera is on its way to another host."""
        return any(
            where.host and self._leases.holder(camera, now) != where.host
            for camera, where in self._places.items()
        )

    def _orders(self, report: HostReport, now: float) -> Orders:
        lease_s = self._wanted.policy.lease_s
        has = {camera.name for camera in report.cameras}
        assigned = []
        for name in self._at[report.host]:
            if name in has and self._leases.held_by(name, report):
                self._leases.renew(name, report, now + lease_s)
            elif now >= max(self._leases.until(name), self._still.held_until):
                self._leases.start(name, report, now + lease_s)
                self.changes += 1
            else:
                continue
            assigned.append(self._assignment(name))
        return Orders(lease_s, tuple(assigned), self._wanted.version, self._wanted.groups)

    def _assignment(self, name: str) -> Assignment:
        rung = self._places[name].rung
        settings = at_rung(self._cameras[name].settings, rung)
        return Assignment(name, self._leases.epoch(name), settings, rung)


def _bare(places: Mapping[str, Place]) -> dict[str, tuple[str, int]]:
    return {camera: (where.host, where.rung) for camera, where in places.items()}
