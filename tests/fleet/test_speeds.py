"""A host's own speed: tried once, reported, and what cameras are reckoned to take there."""

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from peers.waiting import until

from streamsr.fleet.controller import Controller
from streamsr.fleet.host.host import Host, Identity
from streamsr.fleet.host.trial import Trial, main, trial_of_machine
from streamsr.fleet.messages import CameraReport, HostReport, Orders, Policy, Wanted, WantedCamera
from streamsr.fleet.placing.costs import CostTable
from streamsr.fleet.placing.rungs import FILTERS
from streamsr.pipeline import machine
from streamsr.zoo.measured import machine_name
from streamsr.zoo.registry import families

SLOW = HostReport("slow", 1, 0.0, {}, "old", 2000.0, 0.0, network_mpx=10.0, path_mpx=100.0)
QUICK = dataclasses.replace(SLOW, host="quick", kind="new", network_mpx=20.0, path_mpx=150.0)
NETWORK, FILTER = {"model": {"name": "fast-camera"}}, {"model": {"name": "bicubic"}}
FIGURES = {
    "network of hosts on cpu, seconds a pixel": 1e-7,
    "path of hosts, seconds a pixel": 1e-8,
}


class Cache:
    """The file that figures of this machine are kept in."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "measured.json"

    def write(self, figures: dict[str, float]) -> None:
        self._path.write_text(json.dumps({machine_name(): figures}))

    def read(self) -> dict[str, float]:
        return dict(json.loads(self._path.read_text())[machine_name()])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "streamsr").mkdir()
    return Cache(tmp_path / "streamsr")


def cameras(count: int, settings: dict[str, Any]) -> tuple[WantedCamera, ...]:
    return tuple(WantedCamera(f"cam-{n}", settings) for n in range(count))


def counts(controller: Controller, *reports: HostReport) -> list[int]:
    """How many cameras each host is told to run in the end."""
    orders: dict[str, Orders] = {}
    for second in range(12):
        for report in reports:
            had = orders[report.host].cameras if report.host in orders else ()
            states = tuple(CameraReport(c.name, c.epoch, "starting", rung=c.rung) for c in had)
            asked = dataclasses.replace(report, sent=float(second), cameras=states)
            orders[report.host] = controller.report(asked, float(second))
        controller.tick(float(second))
    return [len(orders[report.host].cameras) for report in reports]


def test_a_host_that_is_twice_as_quick_holds_twice_as_many() -> None:
    controller = Controller(Wanted(1, cameras(12, NETWORK)), 0.0)
    assert counts(controller, SLOW, QUICK) == [4, 8], "nothing is measured yet but their speeds"
    assert {camera.rung for camera in controller.status(12.0).cameras} == {0}


@pytest.mark.parametrize(("settings", "quicker"), [(NETWORK, 2.0), (FILTER, 1.5)])
def test_what_a_camera_takes_elsewhere_follows_from_both_hosts_speeds(
    settings: dict[str, Any], quicker: float
) -> None:
    table = CostTable()
    table.learn("old", CameraReport("cam-0", 1, "live", cost=600.0))
    found = cameras(2, settings)
    assert table.estimates(found, ["old", "new"])["cam-0"]["new"][0] == 600.0
    assert table.speeds.learn(SLOW)
    assert table.speeds.learn(QUICK)
    assert not table.speeds.learn(QUICK), "of a kind the first counts: nothing moves for noise"
    for costs in table.estimates(found, ["old", "new"]).values():
        assert costs["old"][0] == 600.0
        assert costs["new"][0] == pytest.approx(600.0 / quicker)
    table.learn("new", CameraReport("cam-1", 1, "live", cost=500.0))
    assert table.estimates(found, ["old", "new"])["cam-0"]["new"][0] == 500.0, "measured there"


def test_a_host_whose_speed_is_not_known_is_reckoned_as_quick_as_the_slowest() -> None:
    table = CostTable()
    table.speeds.learn(SLOW)
    table.speeds.learn(dataclasses.replace(QUICK, network_mpx=0.0))
    costs = table.estimates(cameras(1, NETWORK), ["old", "new"])["cam-0"]
    assert costs["old"] == costs["new"]


def test_filters_are_the_models_whose_cards_say_so() -> None:
    cards = {name: entry.card for name, found in families().items() for entry in found.values()}
    assert {name for name, card in cards.items() if card.is_filter} == FILTERS


class Link:
    """A controller's, in this process."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.reports: list[HostReport] = []

    async def report(self, report: HostReport) -> Orders:
        self.reports.append(report)
        return self._controller.report(report, asyncio.get_running_loop().time())

    async def is_down(self) -> bool:
        return False


class Node:
    """A node's process that runs nothing."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.heard.set()
        self.pid, self.cameras, self.address, self.is_behind = None, dict[str, Any](), "", False

    async def run(self) -> None:
        await asyncio.Event().wait()

    def assign(self, *_orders: object) -> None: ...


async def test_hosts_report_what_was_measured_on_their_machines(cache: Cache) -> None:
    loop = asyncio.get_running_loop()
    controller = Controller(Wanted(1, cameras(9, NETWORK), Policy(lease_s=2.5)), loop.time())
    link = Link(controller)
    tasks = []
    for name, slower in (("old", 2.0), ("new", 1.0)):
        figures = {key: value * slower for key, value in FIGURES.items()}
        cache.write(figures)
        identity = Identity(name, 1, {}, name, 2000.0, 0, 0)
        host = Host(identity, link, Node())  # type: ignore[arg-type]
        host.trial = await trial_of_machine(2.0)
        tasks.append(asyncio.create_task(host.run()))
    await until(lambda: sum(h.cameras for h in controller.status(loop.time()).hosts) == 9, 10)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    hosts = {host.name: host for host in controller.status(loop.time()).hosts}
    assert (hosts["old"].cameras, hosts["new"].cameras) == (3, 6)
    assert (hosts["old"].network_mpx, hosts["new"].network_mpx) == pytest.approx((10.0, 20.0))
    assert hosts["new"].path_mpx == pytest.approx(200.0)


@contextmanager
def tried_as(figures: tuple[float, float], patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    tried: list[str] = []
    patch.setattr(machine, "try_machine", lambda *about: tried.append(about[1]) or figures)
    patch.setattr("os.nice", lambda _: 0)
    patch.setattr("streamsr.fleet.host.trial.die_with", lambda _: None)
    patch.setattr("sys.argv", ["trial", "0"])
    yield tried


def test_a_trial_is_made_once_and_kept(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tried_as((1e-7, 1e-8), monkeypatch) as tried:
        main()
        main()
    assert tried == ["fast-camera"]
    assert capsys.readouterr().out == "[1e-07, 1e-08]" * 2
    assert cache.read() == FIGURES


async def test_a_machine_without_a_trial_makes_one(cache: Cache) -> None:
    found = await trial_of_machine(2.0)
    assert 0.1 < found.network_mpx < found.path_mpx < 1e5
    assert cache.read().keys() > FIGURES.keys()
    assert await trial_of_machine(4.0) == Trial(2 * found.network_mpx, 2 * found.path_mpx)


def test_what_a_controller_kept_of_costs_counts_as_much_as_what_is_reported_since() -> None:
    before = CostTable()
    for _ in range(30):
        before.learn("old", CameraReport("cam-0", 1, "live", cost=100.0))
    after = CostTable(before.known())
    for _ in range(2):
        for table in (before, after):
            table.learn("old", CameraReport("cam-0", 1, "live", cost=400.0))
    assert after.known() == before.known()
    assert after.known()["cam-0"]["old"][0] < 160.0


def test_what_was_reported_a_few_times_is_not_kept() -> None:
    """Of a camera that has just begun the first reports may be a burst."""
    table = CostTable()
    for count in range(1, 15):
        table.learn("old", CameraReport("cam-0", 1, "live", cost=100.0))
        assert bool(table.known()["cam-0"]) == (count >= 10)
