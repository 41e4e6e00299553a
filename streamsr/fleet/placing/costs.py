"""What a camera takes on a host of a kind: measured where it ran, reckoned where it did not.

Hosts report what each camera took of late. That is smoothed, and what is given out changes only
where the smoothed value has left it by a twentieth, so that nothing moves for noise. Where a camera
has not run, it is what it takes elsewhere by how much quicker that is: as cameras that ran on both
say, or the trials of these hosts.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from statistics import fmean

from streamsr.core.status import StreamState
from streamsr.fleet.messages import CameraReport, WantedCamera
from streamsr.fleet.placing.rungs import is_plain, rungs_of, workload
from streamsr.fleet.placing.speeds import Speeds

__all__ = ["CostTable"]

FIRST = 400.0  # ms of CPU time a second at most, of what nobody has measured
FALLBACK_SHARE = 0.3  # of what was asked for, where the fallback is not measured
REPORTS = 10  # that the mean is of, the newest counting most
CHANGE = 0.05  # of the value

Key = tuple[str, int]  # kind of host, rung


class CostTable:
    """The costs of cameras by kind of host and rung, as far as they are known."""

    def __init__(self, known: Mapping[str, Mapping[str, tuple[float, ...]]] | None = None) -> None:
        """``known`` is what ``known()`` gave once: by camera and kind, a cost a rung, 0 unknown."""
        self.speeds = Speeds()
        self._given: dict[str, dict[Key, float]] = defaultdict(dict)
        self._smooth: dict[tuple[str, Key], tuple[int, float]] = {}  # reports, mean
        for camera, kinds in (known or {}).items():
            for kind, costs in kinds.items():
                for rung, cost in enumerate(costs):
                    if cost:
                        self._given[camera][kind, rung] = cost
                        self._smooth[camera, (kind, rung)] = REPORTS, cost

    def learn(self, kind: str, report: CameraReport) -> bool:
        """Takes in what a camera took. Returns whether its cost has changed by that.

        Only what is live counts: a camera that is away costs little, but will be back.
        """
        if report.state != StreamState.LIVE or report.cost <= 0:
            return False
        key = (kind, report.rung)
        count, mean = self._smooth.get((report.name, key), (0, 0.0))
        count = min(count + 1, REPORTS)
        mean += (report.cost - mean) / count
        self._smooth[report.name, key] = count, mean
        given = self._given[report.name].get(key)
        if given is not None and abs(mean - given) <= CHANGE * given:
            return False
        self._given[report.name][key] = mean
        return True

    def forget(self, cameras: Iterable[str]) -> None:
        """Forgets cameras that are gone, or that are another kind of work now."""
        gone = set(cameras)
        for camera in gone:
            self._given.pop(camera, None)
        self._smooth = {key: value for key, value in self._smooth.items() if key[0] not in gone}

    def known(self) -> dict[str, dict[str, tuple[float, ...]]]:
        """What has been measured for long enough: by camera and kind, a cost a rung, 0 unknown."""
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for camera, given in self._given.items():
            costs = {
                key: cost for key, cost in given.items() if self._smooth[camera, key][0] >= REPORTS
            }
            kinds = {kind for kind, _ in costs}
            found[camera] = {
                kind: tuple(costs.get((kind, rung), 0.0) for rung in (0, 1)) for kind in kinds
            }
        return found

    def estimates(
        self,
        cameras: Iterable[WantedCamera],
        kinds: Iterable[str],
        fair: float = FIRST,
        only: Container[str] | None = None,
    ) -> dict[str, dict[str, tuple[float, ...]]]:
        """Returns the cost of every camera, or of some, on every kind of host, one a rung.

        Of what nobody has measured it is ``fair`` at most, so that all have room: no camera falls
        back for a guess.
        """
        cameras, kinds = list(cameras), sorted(kinds)
        means = _Means(self._given, cameras, self.speeds)
        return {
            camera.name: {
                kind: self._estimate(camera, kind, means, min(FIRST, fair) * share)
                for kind, share in self._shares(camera, kinds).items()
            }
            for camera in cameras
            if only is None or camera.name in only
        }

    def _shares(self, camera: WantedCamera, kinds: Sequence[str]) -> dict[str, float]:
        """What it takes on each kind for each ms on the slowest."""
        plain = is_plain(camera.settings, 0)
        return {kind: self.speeds.share(kind, kinds, plain=plain) for kind in kinds}

    def _estimate(
        self, camera: WantedCamera, kind: str, means: "_Means", first: float
    ) -> tuple[float, ...]:
        as_asked = self._one(camera, (kind, 0), means) or first
        fallback = self._one(camera, (kind, 1), means) or FALLBACK_SHARE * as_asked
        return (as_asked, min(fallback, as_asked))[: rungs_of(camera.settings)]

    def _one(self, camera: WantedCamera, key: Key, means: "_Means") -> float | None:
        """Its own cost there, its own elsewhere times what machines differ by, others' like it."""
        own = self._given.get(camera.name, {})
        if key in own:
            return own[key]
        kind, rung = key
        plain = is_plain(camera.settings, rung)
        elsewhere = [
            cost * means.ratio(kind, other, plain=plain)
            for (other, at), cost in own.items()
            if at == rung
        ]
        if elsewhere:
            return fmean(elsewhere)
        return means.of_workload(workload(camera.settings), kind, rung, plain=plain)


class _Means:
    """The mean costs of workloads, by kind of host and rung."""

    def __init__(
        self,
        given: Mapping[str, Mapping[Key, float]],
        cameras: Iterable[WantedCamera],
        speeds: Speeds,
    ) -> None:
        costs: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        self._plain: dict[tuple[str, int], bool] = {}
        for camera in cameras:
            work = workload(camera.settings)
            for (kind, rung), cost in given.get(camera.name, {}).items():
                costs[work, kind, rung].append(cost)
                self._plain[work, rung] = is_plain(camera.settings, rung)
        self._means = {key: fmean(values) for key, values in costs.items()}
        self._speeds = speeds
        self._ratios: dict[tuple[str, str, bool], float] = {}

    def ratio(self, kind: str, other: str, *, plain: bool) -> float:
        """What a camera takes on one kind for each ms on another: by what ran on both, without a
        network as this one or with one; else by the trials of both; else by whatever ran on both.
        """
        key = kind, other, plain
        if key not in self._ratios:
            alike, unlike = (self._measured(kind, other, plain=p) for p in (plain, not plain))
            tried = self._speeds.ratio(kind, other, plain=plain)
            self._ratios[key] = alike or tried or unlike or 1.0
        return self._ratios[key]

    def _measured(self, kind: str, other: str, *, plain: bool) -> float:
        """By what ran on both; 0 where nothing did."""
        both = [
            self._means[work, kind, rung] / cost
            for (work, at, rung), cost in self._means.items()
            if at == other
            and self._plain[work, rung] == plain
            and (work, kind, rung) in self._means
        ]
        return fmean(both) if both else 0.0

    def of_workload(self, work: str, kind: str, rung: int, *, plain: bool) -> float | None:
        """What others of a workload take there, or what they would by what they take elsewhere."""
        if (work, kind, rung) in self._means:
            return self._means[work, kind, rung]
        elsewhere = [
            cost * self.ratio(kind, other, plain=plain)
            for (of, other, at), cost in self._means.items()
            if of == work and at == rung
        ]
        return fmean(elsewhere) if elsewhere else None
