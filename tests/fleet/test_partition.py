"""Two hosts never may publish one camera at once, whatever happens to hosts and to the network."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.core.errors import UserError
from streamsr.fleet.messages import Wanted, WantedCamera
from streamsr.fleet.simulated.fleet import SimulatedFleet
from streamsr.fleet.simulated.host import SimulatedHost, SimulatedNetwork

CAMERAS = tuple(WantedCamera(f"cam-{n}", {"model": {"name": "fast"}}) for n in range(6))
HOSTS = ("host-1", "host-2", "host-3")


def a_fleet(seed: int = 0, network: SimulatedNetwork | None = None) -> SimulatedFleet:
    hosts = [
        SimulatedHost(name, 2000.0, offset_s=1000.0 * n) for n, name in enumerate(HOSTS, start=1)
    ]
    return SimulatedFleet(
        Wanted(1, CAMERAS),
        hosts,
        cost=lambda camera, kind, rung: 100.0,
        seed=seed,
        network=network,
    )


ON_A_HOST = ("kill", "leave", "start", "freeze", "thaw", "cut", "join", "drain", "move", "move")
ON_THE_CONTROLLER = ("end", "restore", "begin", "replace", "double")
happenings = st.lists(
    st.tuples(
        st.sampled_from(ON_A_HOST + ON_THE_CONTROLLER),
        st.sampled_from(HOSTS),
        st.floats(0.0, 6.0),  # seconds until the next
    ),
    max_size=25,
)


def happens(fleet: SimulatedFleet, what: str, host: str) -> None:
    found = fleet.hosts[host]
    changes: dict[str, Callable[[], object]] = {
        "kill": lambda: fleet.kill(host),
        "leave": lambda: fleet.leave(host),
        "start": lambda: None if found.up else fleet.start(host),
        "freeze": lambda: fleet.freeze(host),
        "thaw": lambda: fleet.thaw(host),
        "cut": lambda: setattr(found, "cut", True),
        "join": lambda: setattr(found, "cut", False),
        "drain": lambda: fleet.drain(host),
        "move": lambda: fleet.controller and fleet.controller.move("cam-0", host),
        "replace": lambda: replace(fleet),
        "double": fleet.cut_controller,
        "end": fleet.kill_controller,
        "restore": lambda: fleet.controller or fleet.start_controller(),
        "begin": lambda: fleet.controller or fleet.start_controller(with_state=False),
    }
    with contextlib.suppress(UserError):  # a host that is not there takes no camera
        changes[what]()


def replace(fleet: SimulatedFleet) -> None:
    """Has another controller take over at once, what is on its way to the last reaching it."""
    fleet.kill_controller()
    fleet.start_controller()


@given(
    happenings=happenings,
    seed=st.integers(0, 1000),
    most_s=st.sampled_from([0.02, 0.5, 2.5, 8.0]),
    lost=st.sampled_from([0.0, 0.2, 0.6]),
)
@settings(max_examples=60, deadline=None)
def test_two_hosts_never_may_publish_one_camera(
    happenings: list[tuple[str, str, float]], seed: int, most_s: float, lost: float
) -> None:
    fleet = a_fleet(seed, SimulatedNetwork((0.001, most_s), lost))
    fleet.run(6.0)
    for what, host, seconds in happenings:
        happens(fleet, what, host)
        fleet.run(seconds)
    fleet.run(5.0)
    assert fleet.faults == []


@given(happenings=happenings, seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_all_run_again_once_all_is_well(
    happenings: list[tuple[str, str, float]], seed: int
) -> None:
    fleet = a_fleet(seed)
    for what, host, seconds in happenings:
        happens(fleet, what, host)
        fleet.run(seconds)
    if fleet.controller is None:
        fleet.start_controller()
    for host in HOSTS:
        happens(fleet, "thaw", host)
        happens(fleet, "join", host)
        fleet.kill(host)  # which ends what was drained, too
        fleet.start(host)
    for _ in range(60):
        fleet.run(0.5)
        if len(fleet.live()) == len(CAMERAS):
            break
    assert len(fleet.live()) == len(CAMERAS)
    assert fleet.faults == []


@pytest.mark.parametrize("seed", range(10))
def test_cameras_of_a_dead_host_are_live_within_ten_seconds(seed: int) -> None:
    fleet = a_fleet(seed)
    fleet.run(20.0 + seed / 10)
    before = fleet.live()
    assert len(before) == len(CAMERAS)
    fleet.kill("host-2")
    fleet.run(10.0)
    after = fleet.live()
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} == {
        name for name, host in before.items() if host == "host-2"
    }, "nothing else has moved"


def test_nothing_stops_while_a_controller_is_replaced_within_the_lease() -> None:
    fleet = a_fleet()
    fleet.run(20.0)
    begun = len(fleet.starts)
    fleet.kill_controller()
    for _ in range(15):
        fleet.run(0.1)
        assert len(fleet.live()) == len(CAMERAS)
    fleet.start_controller()
    for _ in range(100):
        fleet.run(0.1)
        assert len(fleet.live()) == len(CAMERAS)
    assert len(fleet.starts) == begun


def test_a_controller_that_dies_with_a_host_recovers_it_within_twenty_seconds() -> None:
    fleet = a_fleet()
    fleet.run(20.0)
    fleet.kill("host-1")
    fleet.kill_controller()
    fleet.run(4.0)
    fleet.start_controller()
    fleet.run(10.0)
    assert len(fleet.live()) == len(CAMERAS)


def test_a_host_that_was_frozen_publishes_nothing_that_has_moved() -> None:
    fleet = a_fleet()
    fleet.run(20.0)
    fleet.freeze("host-3")
    fleet.run(30.0)
    moved = fleet.live()
    assert len(moved) == len(CAMERAS)
    fleet.thaw("host-3")
    for _ in range(40):
        fleet.run(0.05)
        assert fleet.live() == moved
    assert fleet.faults == []


@pytest.mark.parametrize("seed", range(10))
def test_a_controller_that_was_replaced_goes_on_beside_the_one_in_its_place(seed: int) -> None:
    """What it prolongs for hosts that know of it alone is given to no others before it is over."""
    fleet = a_fleet(seed)
    fleet.run(20.0 + seed / 10)
    fleet.hosts["host-1"].apart = True
    fleet.cut_controller()
    fleet.run(2.5)
    assert len(fleet.live()) == len(CAMERAS), "it prolongs what there is"
    fleet.run(20.0)
    assert fleet.faults == []
    assert set(fleet.live().values()) == {"host-2", "host-3"}
    assert len(fleet.live()) == len(CAMERAS)


@pytest.mark.parametrize("both", [False, True])
def test_what_a_host_has_left_begins_elsewhere_before_its_lease_is_over(both: bool) -> None:
    """Where the controller ends with it as well: the next one finds what the host has noted."""
    fleet = a_fleet()
    fleet.run(20.0)
    fleet.leave("host-2")
    if both:
        fleet.kill_controller()
        fleet.run(1.0)
        fleet.start_controller()
    fleet.start_s = (0.0, 0.0)
    fleet.run(1.5)
    assert len(fleet.live()) == len(CAMERAS)
    assert fleet.faults == []
