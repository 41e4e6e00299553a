"""The controller's side of leases: which host may be publishing a camera, and until when. Pure.

The controller counts from when it answered. A camera goes to another host only once that is over,
or once its host has said, in a later report, that it does not have it.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from streamsr.fleet.messages import HostReport

__all__ = ["CameraLease", "Claims", "Leases"]


@dataclass(slots=True)
class CameraLease:
    """Who may publish a camera, or last could."""

    host: str
    incarnation: int
    epoch: int
    until: float  # by the controller's clock


class Leases:
    """The lease of every camera that has had one."""

    def __init__(self, leases: Mapping[str, CameraLease] | None = None) -> None:
        self._leases: dict[str, CameraLease] = {}
        self._of_host: defaultdict[str, set[str]] = defaultdict(set)
        for camera, lease in (leases or {}).items():
            self._put(camera, lease)

    @property
    def by_camera(self) -> Mapping[str, CameraLease]:
        """Every lease, those that are over too."""
        return self._leases

    def of_host(self, host: str, now: float) -> list[str]:
        """The cameras that a host may be publishing."""
        return [camera for camera in self._of_host[host] if now < self._leases[camera].until]

    def holder(self, camera: str, now: float) -> str:
        """The host that may be publishing a camera; "" for none."""
        lease = self._leases.get(camera)
        return lease.host if lease is not None and now < lease.until else ""

    def last_host(self, camera: str) -> str:
        """The host that has a camera, or last had it; "" for none."""
        lease = self._leases.get(camera)
        return lease.host if lease is not None else ""

    def until(self, camera: str) -> float:
        """The moment until which somebody may be publishing a camera; it may have passed."""
        lease = self._leases.get(camera)
        return lease.until if lease is not None else -math.inf

    def held_by(self, camera: str, report: HostReport) -> bool:
        """Whether the host that reports is the last that had the camera."""
        lease = self._leases.get(camera)
        if lease is None:
            return False
        return (lease.host, lease.incarnation) == (report.host, report.incarnation)

    def epoch(self, camera: str) -> int:
        """The epoch of a camera; 0 before it first ran."""
        lease = self._leases.get(camera)
        return lease.epoch if lease is not None else 0

    def release(self, report: HostReport, now: float) -> None:
        """Ends the leases of what the host says that it does not have, in its latest report.

        It takes no answer to an earlier one any more (see HostReport).
        """
        has = {camera.name for camera in report.cameras}
        for camera in self.of_host(report.host, now):
            lease = self._leases[camera]
            if camera not in has and self.held_by(camera, report):
                lease.until = now

    def end(self, hosts: Collection[tuple[str, int]], now: float) -> None:
        """Ends the leases of hosts that publish nothing more, in these incarnations."""
        for lease in self._leases.values():
            if (lease.host, lease.incarnation) in hosts:
                lease.until = min(lease.until, now)

    def holders(self, now: float) -> set[str]:
        """Every host whose lease of a camera goes beyond that moment."""
        return {lease.host for lease in self._leases.values() if lease.until > now}

    def renew(self, camera: str, report: HostReport, until: float) -> None:
        """Prolongs the lease of the host that has the camera."""
        lease = self._leases[camera]
        lease.until = max(lease.until, until)

    def start(self, camera: str, report: HostReport, until: float) -> None:
        """Gives a camera that nobody may be publishing to the host that reports."""
        epoch = self.epoch(camera) + 1
        lease = CameraLease(report.host, report.incarnation, epoch, until)
        self._put(camera, lease)

    def adopt(self, camera: str, lease: CameraLease) -> None:
        """Takes a lease up that another controller gave."""
        self._put(camera, lease)

    def forget(self, cameras: Iterable[str]) -> None:
        """Forgets cameras that are wanted no more."""
        for camera in cameras:
            self._of_host[self._leases.pop(camera).host].discard(camera)

    def _put(self, camera: str, lease: CameraLease) -> None:
        if camera in self._leases:
            self._of_host[self._leases[camera].host].discard(camera)
        self._leases[camera] = lease
        self._of_host[lease.host].add(camera)


class Claims:
    """What hosts have that the state lacks, while a controller does not know who has what."""

    def __init__(self) -> None:
        self._claims: dict[str, tuple[CameraLease, int]] = {}  # and rung

    def take(self, report: HostReport, leases: Leases) -> None:
        """Notes what a host has of a higher epoch than is known."""
        for camera in report.cameras:
            lease = CameraLease(report.host, report.incarnation, camera.epoch, 0.0)
            known = leases.epoch(camera.name)
            if camera.name in self._claims:
                known = max(known, self._claims[camera.name][0].epoch)
            if camera.epoch > known:
                self._claims[camera.name] = lease, camera.rung

    def adopted(self, leases: Leases, wanted: Container[str]) -> Iterator[tuple[str, int]]:
        """Leaves what is wanted where the highest epoch is, once: camera and rung of each."""
        claims, self._claims = self._claims, {}
        for camera, (claim, rung) in claims.items():
            if camera in wanted:
                leases.adopt(camera, replace(claim, until=leases.until(camera)))
                yield camera, rung
