"""Fleets on real Ray that lose a host, their controller, both, their head, or a host for a while.

What is measured is what players of the addresses that cameras are published to see.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from peers import RtmpServer, RtspServer
from peers.fleet import Player, RunningFleet, children_of, is_running
from soak import figure, size_of, soak

RECOVERED_S = 10.0  # of a host, its lease included
BOTH_S = 20.0  # of a host and the controller
CONTROLLER = "ray::ControllerActor"
HEAD = "gcs/gcs_server"
OUTPUT = "streamsr.outputs.process"
CANARY = "canary"  # the key of a stream is a secret


@contextmanager
def played_fleet(
    server: RtmpServer, cameras: int, hosts: int
) -> Iterator[tuple[RunningFleet, dict[str, Player]]]:
    """A fleet whose cameras are all played."""
    urls = {f"cam-{number}": server.url(f"{CANARY}{number}") for number in range(cameras)}
    settings = {name: {"publish": [{"url": url}]} for name, url in urls.items()}
    with RunningFleet(settings, hosts) as fleet:
        players = {name: Player(url) for name, url in urls.items()}
        try:
            until(lambda: all(player.plays for player in players.values()), 110)
            yield fleet, players
        finally:
            for player in players.values():
                player.end()


def canaries(fleet: RunningFleet, server: RtmpServer) -> list[str]:
    """Every log of Ray's that shows where a camera is published to, and every log with its key."""
    logs = (fleet.folder / "ray").glob("session_*/logs/**/*")
    of_ray = [path for path in logs if path.is_file()]
    own = [fleet.folder / "log", *(fleet.folder / "state").glob("streamsr/fleet/*.log")]
    assert len(of_ray) > 10
    assert len(own) == 4, "of the command, the controller and two hosts"
    place = server.url("").partition("://")[2].partition("/")[0].encode()
    shown = [path for path in of_ray if place in content(path)]
    return [
        *map(str, shown),
        *(str(p) for p in (*of_ray, *own) if CANARY.encode() in content(p)),
    ]


def content(path: Path) -> bytes:
    """What is in a log, which Ray removes where its process has ended and written nothing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def until(met: Callable[[], object], within_s: float) -> float:
    """Waits until it is met; gives the seconds that it took."""
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < within_s, f"not within {within_s} s"
        time.sleep(0.02)
    return time.monotonic() - began


def is_live(camera: dict[str, Any]) -> bool:
    return bool(camera["state"] == "live")


def host_of(fleet: RunningFleet, camera: str) -> str:
    found = {c["name"]: c["host"] for c in fleet.status()["cameras"]}
    return str(found[camera])


def gaps(players: dict[str, Player], after: Callable[[], None], within_s: float) -> float:
    """Does what interrupts players; gives the longest gap, once all have played for a while."""
    for player in players.values():
        player.begin()
    after()
    began = time.monotonic()
    while time.monotonic() < began + within_s:
        if time.monotonic() - began > 5 and all(player.plays for player in players.values()):
            break
        time.sleep(0.02)
    time.sleep(2)
    return max(player.gap for player in players.values())


def settled(fleet: RunningFleet, hosts: int) -> None:
    """Waits until all hosts are there, with all cameras live and evenly among them."""

    def met(status: dict[str, Any]) -> bool:
        up = [host for host in status["hosts"] if host["state"] == "up"]
        counts = [host["cameras"] for host in up]
        even = len(up) == hosts and max(counts) - min(counts) <= 1
        return even and all(is_live(camera) for camera in status["cameras"])

    fleet.until(met, 120)


@pytest.mark.serial
@pytest.mark.timeout(240)
def test_cameras_of_a_host_that_dies_run_on_elsewhere(rtmp_server: RtmpServer) -> None:
    with played_fleet(rtmp_server, cameras=2, hosts=2) as (fleet, players):
        status = fleet.status()
        lost = status["cameras"][0]["host"]
        tree = children_of(next(h["pid"] for h in status["hosts"] if h["name"] == lost))
        hosts = [pid for host in status["hosts"] for pid in children_of(host["pid"])]
        assert fleet.pid_of(CONTROLLER) not in hosts, "it is on the head, whatever begins first"
        gap_s = gaps(players, lambda: os.kill(tree[0], signal.SIGKILL), 30)
        assert gap_s <= 2 * RECOVERED_S, "on a machine that has much else to do"
        status = fleet.status()
        assert status["cameras"][0]["host"] not in ("", lost)
        assert not any(is_running(pid) for pid in tree), "nothing of it is left"
        assert canaries(fleet, rtmp_server) == []
        assert CANARY not in str(status)
        assert "(raylet)" not in fleet.log(), "what Ray has to say of it is in its logs"
        fleet.terminate()
        until(lambda: fleet.exit_code is not None, 30)
        assert fleet.exit_code == 0
        assert fleet.pids() == []


@pytest.mark.parametrize("hosts", [2, 3])
@pytest.mark.parametrize("number", [pytest.param(0, marks=soak(0.5))])
def test_soak_hosts_die_ten_times(rtmp_server: RtmpServer, hosts: int, number: int) -> None:
    took = []
    with played_fleet(rtmp_server, cameras=6, hosts=hosts) as (fleet, players):
        for turn in range(size_of(10)):
            settled(fleet, hosts)
            name = host_of(fleet, f"cam-{turn % 6}")
            pid = fleet.hosts()[name]
            took.append(gaps(players, lambda: os.kill(pid, signal.SIGKILL), 40))  # noqa: B023
            figure("gap", f"{took[-1]:.1f} s")
    figure(f"{hosts} hosts, one dies", f"{len(took)} times: {sorted(round(t, 1) for t in took)} s")
    assert sum(t <= RECOVERED_S for t in took) == len(took)


@pytest.mark.parametrize("number", [pytest.param(0, marks=soak(0.5))])
def test_soak_controllers_die_ten_times(rtmp_server: RtmpServer, number: int) -> None:
    alone, both = [], []
    with played_fleet(rtmp_server, cameras=6, hosts=3) as (fleet, players):
        for turn in range(size_of(10)):
            settled(fleet, 3)
            pid = fleet.pid_of(CONTROLLER)
            alone.append(gaps(players, lambda: os.kill(pid, signal.SIGKILL), 10))  # noqa: B023
            settled(fleet, 3)
            name = host_of(fleet, f"cam-{turn % 6}")
            pids = [fleet.pid_of(CONTROLLER), fleet.hosts()[name]]
            both.append(gaps(players, lambda: kill_all(pids), 60))  # noqa: B023
            figure("gaps", f"{alone[-1]:.1f} s, {both[-1]:.1f} s")
    figure("the controller dies", f"{sorted(round(t, 1) for t in alone)} s")
    figure("it dies with a host", f"{sorted(round(t, 1) for t in both)} s")
    assert max(alone) <= 2.0, "nothing stops"
    assert max(both) <= BOTH_S


@pytest.mark.parametrize("number", [pytest.param(0, marks=soak(0.5))])
def test_soak_the_head_is_killed(rtmp_server: RtmpServer, number: int) -> None:
    took = []
    with played_fleet(rtmp_server, cameras=2, hosts=2) as (fleet, players):
        for _ in range(size_of(10)):
            settled(fleet, 2)
            before = fleet.hosts()
            pid = fleet.pid_of(HEAD)
            took.append(gaps(players, lambda: os.kill(pid, signal.SIGKILL), 30))  # noqa: B023
            figure("gap", f"{took[-1]:.1f} s")
            settled(fleet, 2)
            assert fleet.hosts() == before, "machines join the head that is back"
    figure("the head dies", f"{sorted(round(t, 1) for t in took)} s")
    assert max(took) <= RECOVERED_S


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [pytest.param(0, marks=soak(0.5))])
def test_soak_a_frozen_host_never_publishes_again(require_gst: None, number: int) -> None:
    """These servers take two publishers at one address, and keep what each brings."""
    took = []
    with RtspServer() as first, RtspServer() as second:
        servers = {"cam-0": first, "cam-1": second}
        settings = {name: {"publish": [{"url": s.url()}]} for name, s in servers.items()}
        with RunningFleet(settings, 2) as fleet:
            for _ in range(size_of(10)):
                settled(fleet, 2)
                took.append(frozen_and_thawed(fleet, first))
                figure("moved", f"{took[-1]:.1f} s after its host was frozen")
    figure("a frozen host", f"{sorted(round(t, 1) for t in took)} s until it was moved")


def frozen_and_thawed(fleet: RunningFleet, server: RtspServer) -> float:
    """Freezes the host of cam-0, which is published there, for 30 s, all of its processes; gives
    the seconds after which another host published it."""
    tree = children_of(fleet.hosts()[host_of(fleet, "cam-0")])
    outputs = [pid for pid in tree if OUTPUT in command_of(pid)]
    (*_, old) = server.files()
    until(lambda: is_growing(old), 30)
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    ended_s = until(lambda: not any(is_running(pid) for pid in outputs), 6)
    size = old.stat().st_size
    moved_s = ended_s + until(lambda: server.files()[-1] != old, 60)
    time.sleep(max(0.0, 30 - moved_s))
    files = len(server.files())
    for pid in tree:
        with suppress(ProcessLookupError):  # what was killed is gone
            os.kill(pid, signal.SIGCONT)
    time.sleep(10)
    assert old.stat().st_size == size, "nothing came from there any more"
    assert len(server.files()) == files, "and nobody began there again"
    assert outputs
    return moved_s


def is_growing(path: Path) -> bool:
    size = path.stat().st_size
    time.sleep(0.3)
    return path.stat().st_size > size


def command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
