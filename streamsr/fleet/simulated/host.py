"""A host in simulated time, which only keeps leases, and the network between it and others."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamsr.fleet.lease import HostLease
from streamsr.fleet.messages import CameraReport, HostReport, Orders

__all__ = ["SimulatedCamera", "SimulatedHost", "SimulatedNetwork", "Start"]


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
class SimulatedCamera:
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
    draining: bool = False  # it is about to leave
    apart: bool = False  # it reaches no controller but one that Ray has replaced
    lease: HostLease = field(default_factory=HostLease)
    running: dict[str, SimulatedCamera] = field(default_factory=dict)
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
            draining=self.draining,
        )
