"""How a fleet stands, for people and for the gateway: what controller and hosts know, joined."""

from collections.abc import Mapping
from typing import Literal

from streamsr.fleet.hosts import Hosts, KnownHost, is_draining
from streamsr.fleet.leases import Leases
from streamsr.fleet.messages import (
    CameraReport,
    CameraStatus,
    FleetStatus,
    HostAddress,
    HostStatus,
    Wanted,
    WantedCamera,
)
from streamsr.fleet.placing.demand import Demand, Place

__all__ = ["addresses_of", "status_of"]


def status_of(
    wanted: Wanted,
    hosts: Hosts,
    places: Mapping[str, Place],
    leases: Leases,
    demands: Mapping[str, Demand],
    now: float,
) -> FleetStatus:
    """Returns the state of every host and of every camera that is wanted, in the file's order."""
    reports = {
        (host.report.host, camera.name): camera for host in hosts for camera in host.report.cameras
    }
    cameras = []
    for camera in wanted.cameras:
        place = places.get(camera.name, Place("", 0, "it has not been placed yet"))
        holder = leases.holder(camera.name, now)
        known = hosts.get(holder or place.host)
        cost = _cost(demands.get(camera.name), known, place.rung)
        report = reports.get((holder, camera.name))
        cameras.append(_camera(camera, place, leases, holder, report, cost))
    states = [_host(host, wanted, leases, cameras, now) for host in hosts]
    return FleetStatus(
        wanted.version, tuple(sorted(states, key=lambda host: host.name)), tuple(cameras)
    )


def addresses_of(hosts: Hosts, lease_s: float, now: float) -> tuple[HostAddress, ...]:
    """Returns where the nodes of the hosts that are up serve, of those that say so."""
    return tuple(
        HostAddress(host.report.host, host.report.address, host.report.token)
        for host in hosts
        if now - host.heard < lease_s and host.report.address
    )


def _cost(demand: Demand | None, host: KnownHost | None, rung: int) -> float:
    if demand is None or host is None or host.report.kind not in demand.costs:
        return 0.0
    return demand.cost(host.report.kind, min(rung, demand.rungs - 1))


def _camera(
    camera: WantedCamera,
    place: Place,
    leases: Leases,
    holder: str,
    report: CameraReport | None,
    cost: float,
) -> CameraStatus:
    state, reason = "waiting", place.reason
    if place.host and holder == place.host:
        state = report.state if report is not None else "starting"
        reason = (report.reason if report is not None else "") or place.reason
    elif place.host:
        state = "moving"
    return CameraStatus(
        camera.name,
        holder,
        state,
        leases.epoch(camera.name),
        place.rung,
        reason,
        round(cost, 1),
        camera.priority,
    )


def _host(
    host: KnownHost, wanted: Wanted, leases: Leases, cameras: list[CameraStatus], now: float
) -> HostStatus:
    report = host.report
    placed = [camera.cost for camera in cameras if camera.host == report.host]
    state: Literal["up", "draining", "drained", "lost"] = "up"
    if now - host.heard >= wanted.policy.lease_s:
        state = "lost"
    elif is_draining(host):
        state = "draining" if leases.of_host(report.host, now) else "drained"
    return HostStatus(
        report.host,
        state,
        report.pid,
        report.kind,
        {**report.labels, **wanted.policy.labels.get(report.host, {})},
        report.capacity,
        report.load,
        round(sum(placed), 1),
        len(placed),
        report.address,
        report.network_mpx,
        report.path_mpx,
    )
