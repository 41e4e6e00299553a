"""The controller: who is given what, and when, as hosts come, go and are asked for."""

import dataclasses
from itertools import pairwise

import pytest

from streamsr.core.errors import UserError
from streamsr.fleet.controller import Controller
from streamsr.fleet.messages import (
    CameraReport,
    HostReport,
    Orders,
    Policy,
    Wanted,
    WantedCamera,
)

SETTINGS = {"input": {"url": "demo"}, "model": {"name": "fast"}}
LEASE_S = 3.0


def wanted(*names: str, version: int = 1, **policy: object) -> Wanted:
    cameras = tuple(WantedCamera(name, {"name": name, **SETTINGS}) for name in names)
    return Wanted(version, cameras, Policy(lease_s=LEASE_S, **policy))  # type: ignore[arg-type]


class Host:
    """A host that runs what it is told, and says so."""

    def __init__(self, name: str, controller: Controller, **facts: object) -> None:
        self.controller = controller
        self.report = HostReport(
            host=name,
            incarnation=1,
            sent=0.0,
            labels={},
            kind="plain",
            capacity=2000.0,
            load=0.0,
            pid=100,
        )
        self.is_other(**facts)
        self.orders = Orders(LEASE_S, (), 0)

    def is_other(self, **facts: object) -> None:
        self.report = dataclasses.replace(self.report, **facts)  # type: ignore[arg-type]

    def asks(self, now: float) -> set[str]:
        """Returns the names of what it runs from now on."""
        self.is_other(sent=now + 1000.0)
        self.orders = self.controller.report(self.report, now)
        self.is_other(
            cameras=tuple(
                CameraReport(camera.name, camera.epoch, "live", cost=100.0, rung=camera.rung)
                for camera in self.orders.cameras
            )
        )
        return {camera.name for camera in self.orders.cameras}


def settled(*cameras: str, hosts: int = 2, **policy: object) -> tuple[Controller, list[Host]]:
    """A controller whose hosts run all cameras, at the moment 10."""
    controller = Controller(wanted(*cameras, **policy), 0.0)
    found = [Host(f"host-{n}", controller) for n in range(1, hosts + 1)]
    for now in range(11):
        for host in found:
            host.asks(float(now))
        controller.tick(float(now))
    return controller, found


def test_a_new_controller_gives_nothing_out_for_the_length_of_a_lease() -> None:
    controller = Controller(wanted("one"), 0.0)
    host = Host("host", controller)
    assert host.asks(0.0) == host.asks(2.9) == set()
    assert host.asks(3.0) == {"one"}
    assert host.orders.cameras[0].settings["model"]["name"] == "fast"
    assert host.orders.lease_s == LEASE_S


@pytest.mark.parametrize("first_s", [0.5, 10.0])
def test_hosts_that_begin_together_share_the_cameras_of_a_new_fleet(first_s: float) -> None:
    controller = Controller(wanted("one", "two"), 0.0)
    hosts = [Host(f"host-{n}", controller) for n in (1, 2)]
    assert hosts[0].asks(first_s) == set()
    for second in range(1, 7):
        for host in hosts:
            host.asks(first_s + second)
    assert [len(host.report.cameras) for host in hosts] == [1, 1]


def test_cameras_are_spread_over_hosts() -> None:
    _, hosts = settled("one", "two", "three", "four")
    assert [len(host.report.cameras) for host in hosts] == [2, 2]


def test_cameras_of_a_lost_host_start_elsewhere_once_its_lease_is_over() -> None:
    controller, (first, second) = settled("one", "two", "three", "four")
    mine = {camera.name for camera in second.report.cameras}
    second.asks(10.5)
    first.asks(11.0)
    first.asks(12.0)
    assert first.asks(13.4).isdisjoint(mine), "it may still be publishing"
    assert {host.state for host in controller.status(13.4).hosts} == {"up"}
    assert first.asks(13.5) >= mine
    states = {host.name: host.state for host in controller.status(13.5).hosts}
    assert states == {"host-1": "up", "host-2": "lost"}


def test_a_host_that_comes_back_runs_nothing_that_has_moved() -> None:
    _, (first, second) = settled("one", "two")
    for now in (11.0, 12.0, 13.0, 14.0):
        first.asks(now)
    assert first.asks(15.0) == {"one", "two"}
    assert second.asks(16.0) == set()


def test_a_moved_camera_starts_once_its_host_says_that_it_has_ended_it() -> None:
    controller, (first, second) = settled("one", "two")
    name = first.report.cameras[0].name
    epoch = first.report.cameras[0].epoch
    controller.move(name, "host-2")
    assert name not in second.asks(11.0), "the first has not been told"
    assert name not in first.asks(11.1)
    assert name not in second.asks(11.2), "the first has not said that it has"
    first.asks(11.3)
    assert name in second.asks(11.4)
    assert {c.name: c.epoch for c in second.orders.cameras}[name] == epoch + 1
    status = {camera.name: camera for camera in controller.status(11.4).cameras}
    assert status[name].host == "host-2"
    assert "by hand" in status[name].reason


def test_a_report_sent_before_the_answer_frees_nothing() -> None:
    controller, (first, second) = settled("one", "two")
    name = first.report.cameras[0].name
    overtaken = dataclasses.replace(first.report, cameras=(), sent=1009.5)
    controller.move(name, "host-2")
    assert controller.report(overtaken, 11.0).cameras == ()
    assert name not in second.asks(11.1)


def test_a_host_that_says_it_has_what_another_was_given_does_not_get_it() -> None:
    controller, (first, second) = settled("one", "two")
    name = first.report.cameras[0].name
    froze_with = first.report.cameras
    for now in (11.0, 12.0, 13.0, 14.0, 15.0):
        second.asks(now)
    assert len(second.orders.cameras) == 2
    first.is_other(cameras=froze_with)
    first.asks(15.1)
    controller.move(name, "host-1")
    first.is_other(cameras=froze_with)
    assert first.asks(15.2) == set(), "the second has not ended it"
    second.asks(15.3)
    second.asks(15.4)
    assert first.asks(15.5) == {name}


def test_a_host_that_starts_again_waits_for_the_lease_of_the_process_before() -> None:
    _, (host,) = settled("one", hosts=1)
    host.is_other(incarnation=2, cameras=())
    assert host.asks(11.0) == set()
    assert host.asks(12.9) == set()
    assert host.asks(13.0) == {"one"}


def test_an_older_process_of_a_host_is_told_to_end_everything() -> None:
    controller, (host,) = settled("one", hosts=1)
    host.is_other(incarnation=2, cameras=())
    host.asks(11.0)
    older = dataclasses.replace(host.report, incarnation=1, sent=5000.0)
    assert controller.report(older, 11.5).cameras == ()


def test_a_drained_host_gives_everything_up_until_it_starts_again() -> None:
    controller, (first, second) = settled("one", "two")
    controller.drain("host-1")
    assert first.asks(11.0) == set()
    first.asks(11.1)
    assert second.asks(11.2) == {"one", "two"}
    states = {host.name: host.state for host in controller.status(11.2).hosts}
    assert states == {"host-1": "drained", "host-2": "up"}
    first.asks(12.0)
    second.asks(12.0)
    first.is_other(incarnation=2)
    first.asks(13.0)
    second.asks(13.0)
    assert {host.state for host in controller.status(13.0).hosts} == {"up"}


def test_what_a_host_lacks_room_for_runs_by_the_fallback_that_its_settings_name() -> None:
    controller, (host,) = settled("one", "two", hosts=1)
    host.is_other(cameras=tuple(dataclasses.replace(c, cost=1500.0) for c in host.report.cameras))
    for now in range(11, 40):
        host.asks(float(now))
        host.is_other(
            cameras=tuple(
                dataclasses.replace(c, cost=1500.0 if c.rung == 0 else 80.0)
                for c in host.report.cameras
            )
        )
    rungs = {camera.rung: camera.settings["model"] for camera in host.orders.cameras}
    assert rungs[1] == {"name": "bicubic", "fallback": []}
    assert rungs[0]["name"] == "fast"
    assert any("too little room" in camera.reason for camera in controller.status(39.0).cameras)


def test_a_camera_that_is_wanted_no_more_ends_and_a_new_one_begins() -> None:
    controller, (host,) = settled("one", "two", hosts=1)
    controller.want(wanted("two", "three", version=2), 11.0)
    assert host.asks(11.1) == {"two", "three"}
    assert host.orders.version == 2
    assert [camera.name for camera in controller.status(11.2).cameras] == ["two", "three"]


def test_a_restored_controller_leaves_all_where_it_is() -> None:
    controller, hosts = settled("one", "two", "three")
    had = {host.report.host: host.orders.cameras for host in hosts}
    restored = Controller.restored(controller.state(), 500.0)
    for host in hosts:
        host.controller = restored
        host.asks(501.0)
        assert host.orders.cameras == had[host.report.host], "and their epochs, at once"
    for now in range(502, 520):
        for host in hosts:
            host.asks(float(now))
        restored.tick(float(now))
        assert {host.report.host: host.orders.cameras for host in hosts} == had


def test_a_controller_without_a_state_takes_up_what_hosts_report() -> None:
    controller, hosts = settled("one", "two", "three")
    had = {host.report.host: host.report.cameras for host in hosts}
    other = Controller(controller.wanted, 500.0)
    for now in (500.5, 501.5, 502.5):
        for host in hosts:
            host.controller = other
            host.is_other(cameras=had[host.report.host])
            assert host.asks(now) == set(), "another host might have what this one says it has"
            host.is_other(cameras=had[host.report.host])
    for host in hosts:
        assert host.asks(503.5) == {camera.name for camera in had[host.report.host]}


def test_a_controller_that_stood_still_moves_nothing_for_it() -> None:
    _, hosts = settled("one", "two", "three", "four")
    had = [host.orders.cameras for host in hosts]
    for now in (40.0, 41.0):
        for host in hosts:
            host.asks(now)
    assert [host.orders.cameras for host in hosts] == had


def test_hosts_that_were_all_cut_off_keep_what_they_had() -> None:
    controller, hosts = settled("one", "two", "three", "four")
    had = [{camera.name for camera in host.orders.cameras} for host in hosts]
    for now in range(11, 60):
        controller.tick(float(now))
    assert [host.asks(60.5 + n) for n, host in enumerate(hosts)] == had


def test_state_has_to_be_kept_before_another_host_is_given_a_camera() -> None:
    controller, (first, second) = settled("one", "two")
    before = controller.changes
    first.asks(11.0)
    second.asks(11.0)
    controller.tick(11.5)
    assert controller.changes == before, "nothing is to be kept of what only goes on"
    controller.drain("host-1")
    first.asks(12.0)
    drained = controller.changes
    assert drained > before
    first.asks(12.1)
    assert second.asks(12.2) == {"one", "two"}
    assert controller.changes > drained


def test_what_cameras_cost_is_kept_though_nothing_is_placed_anew() -> None:
    controller, hosts = settled("one", "two")
    kept, state = [], b""
    for now in range(11, 40):
        before = controller.changes
        for host in hosts:
            louder = (dataclasses.replace(c, cost=200.0) for c in host.report.cameras)
            host.is_other(cameras=tuple(louder))
            host.asks(float(now))
        controller.tick(float(now))
        if controller.changes > before:
            kept.append(now)
            state = controller.state()
    assert len(kept) >= 2
    assert min(later - one for one, later in pairwise(kept)) >= 5, "not for every report"
    after = Controller.restored(state, 40.0)
    for host in hosts:
        host.controller = after
        host.asks(40.0)
    after.tick(44.0)
    for host in hosts:
        host.asks(44.0)
    assert all(camera.cost > 150.0 for camera in after.status(44.0).cameras)


@pytest.mark.parametrize(
    ("camera", "host", "says"),
    [
        ("thre", "host-1", "did you mean 'three'"),
        ("three", "host-9", "known are host-1, host-2"),
        ("labelled", "host-1", "lacks what 'labelled' asks for: site=north"),
    ],
)
def test_a_move_that_cannot_be_says_why(camera: str, host: str, says: str) -> None:
    controller, _ = settled("three")
    labelled = WantedCamera("labelled", SETTINGS, {"site": "north"})
    cameras = (*controller.wanted.cameras, labelled)
    controller.want(dataclasses.replace(controller.wanted, cameras=cameras), 11.0)
    with pytest.raises(UserError, match=says):
        controller.move(camera, host)


def test_labels_that_the_file_gives_a_host_count() -> None:
    labels = {"host-2": {"site": "north"}}
    controller, hosts = settled("one", labels=labels)
    asking = dataclasses.replace(controller.wanted.cameras[0], labels={"site": "north"})
    controller.want(dataclasses.replace(controller.wanted, version=2, cameras=(asking,)), 11.0)
    for now in (11.1, 12.1, 13.1):
        for host in hosts:
            host.asks(now)
    assert [len(host.orders.cameras) for host in hosts] == [0, 1]


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x01garbage"])
def test_a_damaged_state_says_so(data: bytes) -> None:
    with pytest.raises(UserError, match="state of the fleet"):
        Controller.restored(data, 0.0)


def test_a_lease_that_was_shortened_is_still_waited_for_after_a_restart() -> None:
    controller, (first, second) = settled("one", "two")
    controller.want(dataclasses.replace(controller.wanted, policy=Policy(lease_s=30.0)), 10.0)
    mine = {camera.name for camera in second.report.cameras}
    for host in (first, second):
        host.asks(10.5)
    controller.want(dataclasses.replace(controller.wanted, policy=Policy(lease_s=LEASE_S)), 11.0)
    first.controller = Controller.restored(controller.state(), 12.0)
    for now in range(12, 42):
        assert first.asks(float(now)).isdisjoint(mine), "the second may publish it until 40.5"
    assert first.asks(42.0) >= mine


def test_a_controller_without_a_state_waits_for_the_leases_that_hosts_have() -> None:
    _, (first, second) = settled("one", "two")
    mine = {camera.name for camera in second.report.cameras}
    controller = Controller(wanted("one", "two"), 12.0)
    first.controller = controller
    first.is_other(lease_s=20.0)
    for now in range(12, 32):
        assert first.asks(float(now)).isdisjoint(mine)
    assert first.asks(32.0) >= mine


def test_a_move_to_a_host_without_room_says_what_there_is() -> None:
    controller, (first, second) = settled("one", "two", "three", "four")
    second.is_other(capacity=20.0)
    for now in (11.0, 12.0):
        for host in (first, second):
            host.asks(now)
    name = first.report.cameras[0].name
    with pytest.raises(UserError, match=r"'host-2', which has no room for .* ms/s of CPU, and"):
        controller.move(name, "host-2")
    assert name in first.asks(13.0)


def test_a_host_whose_clock_was_set_back_is_up_again_after_a_lease() -> None:
    controller, hosts = settled("one", hosts=1)
    hosts[0].is_other(incarnation=0, cameras=())
    assert hosts[0].asks(10.5) == set(), "its former process may be running yet"
    assert hosts[0].asks(13.5) == {"one"}
    assert [host.state for host in controller.status(13.5).hosts] == ["up"]


def test_what_all_nodes_are_told_comes_with_each_answer_and_as_it_is_now() -> None:
    controller, (host,) = settled("one", hosts=1)
    for groups in ({"webrtc": {"stun": ["a"]}}, {"webrtc": {"stun": ["b"]}}):
        changed = dataclasses.replace(controller.wanted, groups=groups)
        controller.want(changed, 10.0)
        host.asks(11.0)
        assert host.orders.groups == groups
        host.is_other(incarnation=host.report.incarnation + 1)


def test_hosts_are_not_evened_out_by_moves_to_one_whose_process_is_starting() -> None:
    controller, (first,) = settled("one", "two", "three", "four", hosts=1)
    second = Host("host-2", controller, cold=True)
    for now in range(11, 30):
        assert len(first.asks(float(now))) == 4
        assert second.asks(float(now)) == set()
        controller.tick(float(now))
    second.is_other(cold=False)
    for now in range(30, 40):
        counts = len(first.asks(float(now))), len(second.asks(float(now)))
        controller.tick(float(now))
    assert counts == (2, 2)


def test_a_camera_without_a_host_goes_where_it_begins_at_once() -> None:
    controller, hosts = settled("one", "two", "three", hosts=3)
    lost = next(host for host in hosts if "one" in {c.name for c in host.orders.cameras})
    busy, cold = (host for host in hosts if host is not lost)
    for now in range(11, 17):
        cold.is_other(cold=True)
        cold.asks(float(now))
        busy.asks(float(now))
        controller.tick(float(now))
    assert "one" in {c.name for c in busy.orders.cameras}
