"""What all cameras want, kept as hosts report: made again only where something has changed."""

from collections.abc import Mapping, Sequence

from streamsr.fleet.messages import HostReport, WantedCamera
from streamsr.fleet.placing.costs import CostTable
from streamsr.fleet.placing.demand import Demand, HostRoom
from streamsr.fleet.placing.rungs import workload

__all__ = ["Demands"]

KEPT_S = 5.0


class Demands:
    """The demand of each camera, by what it and its like have cost."""

    def __init__(self, cameras: Mapping[str, WantedCamera], costs: CostTable) -> None:
        self.costs = costs
        self._cameras = cameras
        self._learnt: set[str] = set()  # whose costs have changed
        self._unkept, self._kept_at = False, float("-inf")
        self.last: dict[str, Demand] = {}  # as they were last asked for

    def want(self, cameras: Mapping[str, WantedCamera]) -> None:
        """Takes other cameras; what those cost that are gone or changed is forgotten."""
        works = {name: workload(camera.settings) for name, camera in cameras.items()}
        self.costs.forget(
            name
            for name, camera in self._cameras.items()
            if workload(camera.settings) != works.get(name)
        )
        self._cameras = cameras
        self.invalidate()

    def learn(self, report: HostReport) -> None:
        """Takes in what a host's cameras took, and how quick it is."""
        if self.costs.speeds.learn(report):
            self.invalidate()
        for camera in report.cameras:
            if self.costs.learn(report.kind, camera):
                self._learnt.add(camera.name)
                self._unkept = True

    def are_to_be_kept(self, now: float) -> bool:
        """Whether costs have changed that a controller after this one must know; in 5 s once."""
        if not self._unkept or now - self._kept_at < KEPT_S:
            return False
        self._unkept, self._kept_at = False, now
        return True

    def invalidate(self) -> None:
        """Has all be made again: hosts, cameras or who was moved by hand are others now."""
        self.last = {}

    def on(self, rooms: Sequence[HostRoom], pins: Mapping[str, str]) -> dict[str, Demand]:
        """Returns what all want of these hosts. Those whose own costs changed are made again."""
        stale = self._learnt if self.last else self._cameras.keys()
        if stale:
            fair = sum(room.usable for room in rooms) / (len(self._cameras) + len(rooms))
            kinds = {room.kind for room in rooms}
            costs = self.costs.estimates(self._cameras.values(), kinds, fair, stale)
            self.last = self.last | {
                name: Demand(name, costs[name], camera.labels, camera.priority, pins.get(name, ""))
                for name, camera in self._cameras.items()
                if name in stale
            }
        self._learnt = set()
        return self.last
