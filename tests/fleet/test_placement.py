"""Where cameras run: what must hold of every placement, whatever is asked and whatever there is."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.fleet.placement import Placement, place
from streamsr.fleet.placing.balance import TOLERANCE, imbalance
from streamsr.fleet.placing.demand import Demand, HostRoom, Place

KINDS = ("plain", "gpu")
SITES = ("north", "south")
labels = st.sampled_from([{}, {"site": "north"}, {"site": "south"}, {"site": "nowhere"}])


@st.composite
def demands(draw: st.DrawFn, most: int = 16) -> list[Demand]:
    count = draw(st.integers(0, most))
    found = []
    for n in range(count):
        cost = draw(st.integers(10, 1500))
        rungs = draw(st.sampled_from([1, 2]))
        costs = {
            kind: (cost * factor, cost * factor * draw(st.sampled_from([0.1, 0.4])))[:rungs]
            for kind, factor in zip(KINDS, (1.0, 0.5), strict=True)
        }
        found.append(Demand(f"cam-{n}", costs, draw(labels), draw(st.integers(0, 2))))
    return found


@st.composite
def rooms(draw: st.DrawFn) -> list[HostRoom]:
    return [
        HostRoom(
            f"host-{n}",
            draw(st.sampled_from(KINDS)),
            draw(st.sampled_from([0.0, 500.0, 1600.0, 6400.0])),
            {"site": draw(st.sampled_from(SITES))},
            draw(st.sampled_from([0.0, 400.0])),
        )
        for n in range(draw(st.integers(0, 5)))
    ]


def costs_of(
    placement: Placement, cameras: list[Demand], hosts: list[HostRoom]
) -> dict[str, float]:
    kinds = {host.name: host.kind for host in hosts}
    load = dict.fromkeys(kinds, 0.0)
    for camera in cameras:
        where = placement.places[camera.name]
        if where.host:
            load[where.host] += camera.cost(kinds[where.host], where.rung)
    return load


@given(cameras=demands(), hosts=rooms(), spread=st.sampled_from(["even", "pack"]))
@settings(max_examples=60, deadline=None)
def test_hosts_have_room_and_labels_for_what_they_get(
    cameras: list[Demand], hosts: list[HostRoom], spread: str
) -> None:
    placement = place(cameras, hosts, {}, spread=spread, moves=5)  # type: ignore[arg-type]
    by_name = {host.name: host for host in hosts}
    assert placement.places.keys() == {camera.name for camera in cameras}
    for name, load in costs_of(placement, cameras, hosts).items():
        room = by_name[name].usable + by_name[name].reserve
        assert load <= room + 1e-6
        assert placement.load[name] == pytest.approx(load)
    for camera in cameras:
        where = placement.places[camera.name]
        assert where.rung < camera.rungs
        if where.host:
            assert by_name[where.host].has(camera.labels)
        else:
            assert where.reason, "who does not run is told why"
        assert where.rung == 0 or where.reason


@given(cameras=demands(), hosts=rooms())
@settings(max_examples=60, deadline=None)
def test_no_camera_waits_while_one_of_lower_priority_has_its_room(
    cameras: list[Demand], hosts: list[HostRoom]
) -> None:
    places = place(cameras, hosts, {}).places
    for camera in cameras:
        if places[camera.name].host:
            continue
        for host in hosts:
            if not host.has(camera.labels):
                continue
            higher = sum(
                other.cost(host.kind, places[other.name].rung)
                for other in cameras
                if places[other.name].host == host.name and other.priority >= camera.priority
            )
            assert higher + camera.cost(host.kind, 0) > host.usable, (camera, host)


@given(cameras=demands(), hosts=rooms(), moves=st.sampled_from([0, 100]))
@settings(max_examples=60, deadline=None)
def test_what_is_placed_stays_where_nothing_changes(
    cameras: list[Demand], hosts: list[HostRoom], moves: int
) -> None:
    current: dict[str, Place] = {}
    seen = []
    for _ in range(8):
        places = place(cameras, hosts, current, moves=moves).places
        seen.append({name: (where.host, where.rung) for name, where in places.items()})
        current = dict(places)
    assert seen[-1] == seen[-2], "it comes to rest"


@given(cameras=demands(), hosts=rooms())
@settings(max_examples=50, deadline=None)
def test_only_the_cameras_of_a_host_that_is_gone_move_where_there_is_room(
    cameras: list[Demand], hosts: list[HostRoom]
) -> None:
    small = [dataclasses.replace(c, costs=dict.fromkeys(KINDS, (10.0,))) for c in cameras]
    hosts = [dataclasses.replace(host, usable=1600.0) for host in hosts]
    before = place(small, hosts, {}).places
    after = place(small, hosts[1:], before).places
    for camera in small:
        was, now = before[camera.name], after[camera.name]
        if was.host in {host.name for host in hosts[1:]}:
            assert now == was
        elif any(host.has(camera.labels) for host in hosts[1:]):
            assert now.host
            assert not was.host or was.host in now.reason


@given(cameras=demands(most=24), hosts=rooms())
@settings(max_examples=50, deadline=None)
def test_half_of_the_highest_priority_never_falls_back_for_want_of_room(
    cameras: list[Demand], hosts: list[HostRoom]
) -> None:
    same = [dataclasses.replace(camera, priority=1, labels={}) for camera in cameras]
    places = place(same, hosts, {}).places
    largest = [
        camera
        for camera in same
        if not any(camera.cost(host.kind, 0) <= host.usable for host in hosts)
    ]
    rest = [camera for camera in same if camera not in largest]
    fallen = sum(bool(places[c.name].host) and places[c.name].rung > 0 for c in rest)
    assert fallen <= (len(rest) + 1) // 2


@given(
    costs=st.lists(st.floats(40, 120), min_size=60, max_size=120),
    hosts=st.lists(st.sampled_from([3200.0, 4800.0]), min_size=2, max_size=6),
    gone=st.integers(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_hosts_carry_the_same_within_a_tenth(
    costs: list[float], hosts: list[float], gone: int
) -> None:
    cameras = [Demand(f"cam-{n}", {"plain": (cost,)}) for n, cost in enumerate(costs)]
    rooms = [HostRoom(f"host-{n}", "plain", 3 * usable) for n, usable in enumerate(hosts)]
    by_name = {room.name: room for room in rooms}
    placement = place(cameras, rooms, {}, moves=1000)
    assert imbalance(placement.load, by_name) <= TOLERANCE
    left = [room for n, room in enumerate(rooms) if n != gone % len(rooms)]
    fewer = place(cameras, left, placement.places, moves=1000)
    assert imbalance(fewer.load, {room.name: room for room in left}) <= TOLERANCE
    again = place(cameras, rooms, fewer.places, moves=1000)
    assert imbalance(again.load, by_name) <= TOLERANCE


def test_the_lowest_priority_gives_way_first_by_its_fallback_then_entirely() -> None:
    hosts = [HostRoom("host", "plain", 1000.0)]
    cameras = [Demand(f"cam-{n}", {"plain": (400.0, 100.0)}, {}, priority=n) for n in range(5)]

    def rungs(count: int) -> list[int | None]:
        places = place(cameras[:count], hosts, {}).places
        found = [places[camera.name] for camera in cameras[:count]]
        return [where.rung if where.host else None for where in found]

    assert rungs(2) == [0, 0]
    assert rungs(3) == [1, 0, 0]
    assert rungs(4) == [1, 1, 0, 0]
    assert rungs(5) == [None, 1, 1, 0, 0]
    waiting = place(cameras, hosts, {}).places["cam-0"]
    assert "priority is 0" in waiting.reason


def test_others_of_the_same_priority_fall_back_so_that_one_more_runs() -> None:
    hosts = [HostRoom("host", "plain", 800.0)]
    cameras = [Demand(f"cam-{n}", {"plain": (400.0, 100.0)}) for n in range(3)]
    places = place(cameras, hosts, {}).places
    assert sorted(where.rung for where in places.values()) == [0, 1, 1]
    assert all(where.host for where in places.values())


def test_a_camera_returns_from_its_fallback_where_there_is_room_again() -> None:
    hosts = [HostRoom(f"host-{n}", "plain", 850.0) for n in range(2)]
    cameras = [Demand(f"cam-{n}", {"plain": (400.0, 100.0)}) for n in range(4)]
    one = place(cameras, hosts[:1], {}).places
    assert any(where.rung or not where.host for where in one.values())
    both = place(cameras, hosts, one, moves=10).places
    assert all(where.host and not where.rung for where in both.values())


def test_what_would_not_run_otherwise_takes_of_the_reserve_until_there_is_room() -> None:
    hosts = [HostRoom(f"host-{n}", "plain", 1600.0, reserve=400.0) for n in range(2)]
    cameras = [Demand(f"cam-{n}", {"plain": (320.0,)}) for n in range(7)]
    both = place(cameras, hosts, {}).places
    assert not any("reserve" in where.reason for where in both.values())
    one = place(cameras, hosts[:1], both).places
    assert sum(bool(where.host) for where in one.values()) == 6, "2000 has room for no more"
    assert sum("reserve" in where.reason for where in one.values()) == 1
    again = place(cameras, hosts[:1], one).places
    assert {name: where.host for name, where in again.items()} == {
        name: where.host for name, where in one.items()
    }
    back = place(cameras, hosts, one).places
    assert all(where.host for where in back.values())
    load = place(cameras, hosts, back, moves=9).load
    assert max(load.values()) <= 1600.0


def test_a_camera_that_was_moved_by_hand_stays_there() -> None:
    hosts = [HostRoom(f"host-{n}", "plain", 1600.0) for n in range(3)]
    cameras = [Demand(f"cam-{n}", {"plain": (100.0,)}) for n in range(6)]
    before = place(cameras, hosts, {}).places
    pinned = [dataclasses.replace(camera, pin="host-2") for camera in cameras]
    after = place(pinned, hosts, before, moves=100).places
    assert {where.host for where in after.values()} == {"host-2"}
    assert after == place(pinned, hosts, after, moves=100).places


def test_packed_cameras_leave_hosts_empty() -> None:
    hosts = [HostRoom(f"host-{n}", "plain", 1600.0) for n in range(4)]
    cameras = [Demand(f"cam-{n}", {"plain": (100.0,)}) for n in range(20)]
    packed = place(cameras, hosts, {}, spread="pack").load
    assert sorted(load > 0 for load in packed.values()) == [False, False, True, True]
    places = dict(place(cameras, hosts, {}).places)
    for _ in range(10):
        placement = place(cameras, hosts, places, spread="pack", moves=3)
        places = dict(placement.places)
    assert sum(load > 0 for load in placement.load.values()) == 2
