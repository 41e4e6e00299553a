"""The hosts of a fleet, as the controller knows them: what each last said, and when."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from streamsr.core.errors import UserError, nearest
from streamsr.fleet.messages import HostReport, Policy
from streamsr.fleet.placing.demand import HostRoom

__all__ = ["Hosts", "KnownHost"]

FORGOTTEN_S = 900.0  # after which a host that is gone is no more shown
CHANGE = 0.05  # of a host's capacity, below which it counts as the same


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host, by its last report."""

    report: HostReport
    heard: float  # when that came
    capacity: float  # as it is reckoned with
    drained: bool = False  # by hand, until its process starts again


class Hosts:
    """Every host that has reported of late."""

    def __init__(self, drained: Mapping[str, int] | None = None) -> None:
        """``drained`` has the incarnations that were drained, by host."""
        self._known: dict[str, KnownHost] = {}
        self._drained = dict(drained or {})

    def __iter__(self) -> Iterator[KnownHost]:
        return iter(self._known.values())

    def get(self, name: str) -> KnownHost | None:
        return self._known.get(name)

    @property
    def names(self) -> list[str]:
        return sorted(self._known)

    @property
    def drained(self) -> Mapping[str, int]:
        """The incarnations that were drained by hand, by host."""
        return self._drained

    def require(self, name: str) -> None:
        """Raises UserError for a host that is not known."""
        if name not in self._known:
            known = ", ".join(self.names) or "none"
            raise UserError(f"host: got {name!r}{nearest(name, self.names)}, known are {known}")

    def drain(self, name: str) -> None:
        """Has nothing run on a host until its process starts again."""
        host = self._known[name]
        self._drained[name] = host.report.incarnation
        self._known[name] = replace(host, drained=True)

    def take(self, report: HostReport, now: float, lease_s: float) -> bool | None:
        """Takes a report in. None: it is older than what is known. True: placement may change.

        A host that was not heard of for a lease may come back as an earlier incarnation: they are
        numbered by the machine's clock, which may have been set back.
        """
        before = self._known.get(report.host)
        if before is not None and _stamp(report) <= _stamp(before.report):
            is_another = report.incarnation != before.report.incarnation
            if not is_another or now - before.heard < lease_s:
                return None
        if self._drained.get(report.host, report.incarnation) != report.incarnation:
            del self._drained[report.host]
        capacity = report.capacity
        if before is not None and abs(capacity - before.capacity) <= CHANGE * before.capacity:
            capacity = before.capacity
        host = KnownHost(report, now, capacity, report.host in self._drained)
        self._known[report.host] = host
        return before is None or _facts(host) != _facts(before)

    def forget(self, now: float) -> None:
        """Forgets the hosts that are long gone."""
        for name in [n for n, host in self._known.items() if now - host.heard > FORGOTTEN_S]:
            del self._known[name]

    def up(self, now: float, lease_s: float) -> set[str]:
        """The hosts that have reported within that time."""
        return {name for name, host in self._known.items() if now - host.heard < lease_s}

    def rooms(self, policy: Policy, now: float) -> list[HostRoom]:
        """The hosts that take cameras now."""
        return [
            HostRoom(
                host.report.host,
                host.report.kind,
                host.capacity * (1 - policy.reserve),
                {**host.report.labels, **policy.labels.get(host.report.host, {})},
                host.capacity * policy.reserve,
                host.report.cold,
            )
            for host in self._known.values()
            if now - host.heard < policy.lease_s and not is_draining(host)
        ]


def is_draining(host: KnownHost) -> bool:
    """Whether a host gives up what it has."""
    return host.drained or host.report.draining


def _stamp(report: HostReport) -> tuple[int, float]:
    return report.incarnation, report.sent


def _facts(host: KnownHost) -> tuple[object, ...]:
    """What placement depends on."""
    report = host.report
    return report.incarnation, report.kind, host.capacity, dict(report.labels), is_draining(host)
