"""How long cameras of a real Ray cluster are away when part of it fails.

    PYTHONPATH=tests python benchmarks/fleet_failures.py FAILURE [HOSTS TURNS]

A ``ray.cluster_utils.Cluster``, which is nobody's of streamsr, runs six ``bicubic`` demo cameras
that publish to nginx over RTMP; each is played. FAILURE is what is killed: ``raylet`` (of a host
that has no controller), ``reaped`` (the same, and waited for), ``machine`` (every process of it),
``head`` (the raylet of the controller's machine, which is a host here, and waited for),
``controller``, ``both`` (the controller and a raylet); or ``frozen``, all processes of a host for
30 s. A new cluster a turn. Prints the longest time without a frame of any camera, and how often the
server was offered a second publisher of one address. Exits with 1 where a bar is missed.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peers import RtmpServer
from peers.fleet import Player, RunningFleet, children_of
from ray.cluster_utils import Cluster

CAMERAS = 6
LEAN: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
CORES = os.cpu_count() or 1  # of each host: all of the machine, as Cluster has it
CONTROLLER = "ray::ControllerActor"
READY_S, AWAY_S, FROZEN_S, SETTLED_S = 150.0, 90.0, 30.0, 5.0
BARS_S = {"controller": 2.0, "both": 20.0}
BAR_S = 10.0
TWICE = "already publishing"


@dataclass(frozen=True)
class Turn:
    """What one failure did."""

    gap_s: float
    twice: int  # second publishers
    log: str


@contextmanager
def played_fleet(
    server: RtmpServer, hosts: int, head_cores: int
) -> Iterator[tuple[RunningFleet, Cluster, list[Player]]]:
    """A fleet on such a cluster, once all of its cameras are played."""
    urls = [server.url(f"cam-{number}") for number in range(CAMERAS)]
    cameras = {f"cam-{n}": {"publish": [{"url": url}]} for n, url in enumerate(urls)}
    fleet = RunningFleet(cameras, hosts)
    os.environ["RAY_TMPDIR"] = str(fleet.folder)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cores, **LEAN})
    players: list[Player] = []
    try:
        for _ in range(hosts - bool(head_cores)):
            cluster.add_node(num_cpus=CORES, **LEAN)
        fleet.join(str(cluster.address))
        with fleet:
            players += [Player(url) for url in urls]
            fleet.until(lambda status: is_settled(status, hosts), READY_S)
            until_all_play(players, READY_S)
            time.sleep(SETTLED_S)
            yield fleet, cluster, players
    finally:
        for player in players:
            player.end()
        cluster.shutdown()


def is_settled(status: dict[str, Any], hosts: int) -> bool:
    up = [host["cameras"] for host in status["hosts"] if host["state"] == "up"]
    even = len(up) == hosts and max(up) - min(up) <= 1
    return even and all(camera["state"] == "live" for camera in status["cameras"])


def until_all_play(players: list[Player], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not all(player.plays for player in players) and time.monotonic() < until:
        time.sleep(0.02)


def turn_of(failure: str, hosts: int) -> Turn:
    """Runs a fleet, has it fail, and waits until all play, for ``AWAY_S`` at most."""
    with RtmpServer() as server:
        head_cores = CORES if failure == "head" else 0
        with played_fleet(server, hosts, head_cores) as (fleet, cluster, players):
            for player in players:
                player.begin()
            fail(failure, fleet, cluster)
            time.sleep(SETTLED_S)
            until_all_play(players, AWAY_S)
            time.sleep(SETTLED_S)
            gap_s = max(player.gap for player in players)
            return Turn(gap_s, (server.folder / "log").read_text().count(TWICE), fleet.log())


def fail(failure: str, fleet: RunningFleet, cluster: Cluster) -> None:
    """Has part of a fleet fail, as this file says."""
    controller = fleet.pid_of(CONTROLLER)
    has_it = [pid for pid in fleet.hosts().values() if controller in children_of(pid)]
    others = [pid for pid in fleet.hosts().values() if pid not in has_it]
    match failure:
        case "raylet" | "reaped":
            end_raylet(others[0], cluster, waits=failure == "reaped")
        case "machine":
            signal_all(children_of(others[0]), signal.SIGKILL)
        case "head":
            end_raylet((has_it or others)[0], cluster, waits=True)
        case "controller":
            os.kill(controller, signal.SIGKILL)
        case "both":
            os.kill(controller, signal.SIGKILL)
            end_raylet(others[0], cluster, waits=False)
        case "frozen":
            tree = children_of(others[0])
            signal_all(tree, signal.SIGSTOP)
            time.sleep(FROZEN_S)
            signal_all(tree, signal.SIGCONT)
        case _:
            raise SystemExit(f"got {failure!r}\n{__doc__}")


def end_raylet(pid: int, cluster: Cluster, *, waits: bool) -> None:
    os.kill(pid, signal.SIGKILL)
    for node in (cluster.head_node, *cluster.worker_nodes) if waits else ():
        for found in node.all_processes.get("raylet", []):
            if found.process.pid == pid:
                found.process.wait()


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    failure = sys.argv[1] if len(sys.argv) > 1 else ""
    hosts, turns = (int(text) for text in (sys.argv[2:4] or ("2", "1")))
    bar_s, worst_s = BARS_S.get(failure, BAR_S), 0.0
    for number in range(1, turns + 1):
        turn = turn_of(failure, hosts)
        say(f"{failure}, turn {number}: {turn.gap_s:.1f} s, {turn.twice} second publishers")
        if turn.gap_s > bar_s or turn.twice:
            say(turn.log)
        worst_s = max(worst_s, turn.gap_s)
    say(f"longest {worst_s:.1f} s of {bar_s:.0f} s at most")
    return int(worst_s > bar_s)


if __name__ == "__main__":
    sys.exit(main())
