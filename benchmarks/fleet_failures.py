"""How long cameras of a real Ray cluster are away when part of it fails.

    PYTHONPATH=tests python benchmarks/fleet_failures.py FAILURE [HOSTS TIMES rtmp|rtsp]

A ``ray.cluster_utils.Cluster`` that streamsr has not started runs six ``bicubic`` demo cameras
that publish to nginx over RTMP, or to servers of gst-rtsp-server. FAILURE is what is killed:
``raylet`` (of a host that has no controller), ``reaped`` (the same, and waited for), ``machine``
(every process of it), ``head`` (the raylet of the controller's machine, which is a host here, and
waited for), ``controller``, ``both`` (the controller and a raylet); or ``frozen``, all processes of
a host for 30 s. A new cluster each time. Prints the longest time without a frame of any camera at
the server, and how often a server was offered a second publisher of one address. Exits with 1 where
a bar is missed, and for a second publisher.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from peers import RtmpServer, RtspServer
from peers.fleet import Player, RunningFleet, Watcher, children_of
from ray.cluster_utils import Cluster

CAMERAS = 6
LEAN: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
CORES = os.cpu_count() or 1  # of each host: all of the machine, as Cluster has it
CONTROLLER = "ray::ControllerActor"
READY_S, AWAY_S, FROZEN_S, SETTLED_S = 150.0, 90.0, 30.0, 5.0
LOOK_S = 0.1  # between two looks at files that grow
BUFFERED_S = 1.5  # by that server, and a little
FAILURES = ("raylet", "reaped", "machine", "head", "controller", "both", "frozen")
DEFAULTS = ("", "2", "1", "rtmp")  # of the arguments
BARS_S = {"controller": 2.0, "both": 20.0}
BAR_S = 10.0
TWICE = "already publishing"


class Recorded(Watcher):
    """Watches the recordings that a server makes, a file each session, as they grow.

    The server holds what comes for a second: a session's file may grow so long after its end.
    """

    def __init__(self, server: RtspServer) -> None:
        self.twice = 0  # looks at which an earlier session still brought something
        self._server = server
        self._grew: dict[str, float] = {}  # monotonic, by file
        self._sizes: dict[str, int] = {}
        self._began: dict[str, float] = {}
        super().__init__()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            now = time.monotonic()
            for path in self._server.files():
                size = path.stat().st_size
                if size > self._sizes.get(path.name, 0):
                    self._sizes[path.name], self._grew[path.name] = size, now
                    self._began.setdefault(path.name, now)
                    self._saw()
            newest = max(self._began.values(), default=now)
            grow = sum(now - grew < LOOK_S for grew in self._grew.values())
            self.twice += grow > 1 and now - newest > BUFFERED_S


@dataclass(frozen=True)
class Site:
    """Where six cameras are published to."""

    urls: list[str]
    watchers: Callable[[], list[Watcher]]
    twice: Callable[[], int]  # second publishers so far


def rtmp_site(opened: ExitStack) -> Site:
    """nginx, which refuses a second publisher and says so."""
    server = opened.enter_context(RtmpServer())
    urls = [server.url(f"cam-{number}") for number in range(CAMERAS)]
    log = server.folder / "log"
    return Site(urls, lambda: [Player(url) for url in urls], lambda: log.read_text().count(TWICE))


def rtsp_site(opened: ExitStack) -> Site:
    """Servers that take any number of publishers."""
    servers = [opened.enter_context(RtspServer()) for _ in range(CAMERAS)]
    watchers = [Recorded(server) for server in servers]
    urls = [server.url() for server in servers]
    return Site(urls, lambda: list(watchers), lambda: sum(one.twice for one in watchers))


SITES = {"rtmp": rtmp_site, "rtsp": rtsp_site}


@dataclass(frozen=True)
class Result:
    """What one failure did."""

    gap_s: float
    twice: int  # second publishers
    log: str


@contextmanager
def watched_fleet(
    site: Site, hosts: int, head_cores: int
) -> Iterator[tuple[RunningFleet, Cluster, list[Watcher]]]:
    """A fleet on such a cluster, once all of its cameras are seen."""
    cameras = {f"cam-{n}": {"publish": [{"url": url}]} for n, url in enumerate(site.urls)}
    fleet = RunningFleet(cameras, hosts)
    os.environ["RAY_TMPDIR"] = str(fleet.folder)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cores, **LEAN})
    watchers: list[Watcher] = []
    try:
        for _ in range(hosts - bool(head_cores)):
            cluster.add_node(num_cpus=CORES, **LEAN)
        fleet.join(str(cluster.address))
        with fleet:
            watchers += site.watchers()
            fleet.until(lambda status: is_settled(status, hosts), READY_S)
            until_all_play(watchers, READY_S)
            time.sleep(SETTLED_S)
            yield fleet, cluster, watchers
    finally:
        for watcher in watchers:
            watcher.end()
        cluster.shutdown()


def is_settled(status: dict[str, Any], hosts: int) -> bool:
    up = [host["cameras"] for host in status["hosts"] if host["state"] == "up"]
    even = len(up) == hosts and max(up) - min(up) <= 1
    return even and all(camera["state"] == "live" for camera in status["cameras"])


def until_all_play(players: list[Watcher], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not all(player.plays for player in players):
        if time.monotonic() > until:
            raise TimeoutError(f"after {within_s:.0f} s not all cameras are seen")
        time.sleep(0.02)


def result_of(failure: str, hosts: int, kind: str) -> Result:
    """Runs a fleet, has it fail, and waits until all are seen, for ``AWAY_S`` at most."""
    with ExitStack() as opened:
        site = SITES[kind](opened)
        head_cores = CORES if failure == "head" else 0
        with watched_fleet(site, hosts, head_cores) as (fleet, cluster, watchers):
            for watcher in watchers:
                watcher.begin()
            fail(failure, fleet, cluster)
            time.sleep(SETTLED_S)
            with suppress(TimeoutError):
                until_all_play(watchers, AWAY_S)
            time.sleep(SETTLED_S)
            return Result(max(watcher.gap for watcher in watchers), site.twice(), fleet.log())


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


def end_raylet(pid: int, cluster: Cluster, *, waits: bool) -> None:
    os.kill(pid, signal.SIGKILL)
    for node in (cluster.head_node, *cluster.worker_nodes) if waits else ():
        for found in node.all_processes.get("raylet", []):
            if found.process.pid == pid:
                found.process.wait()


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    failure, hosts, times, kind = (*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :])
    if failure not in FAILURES or kind not in SITES:
        raise SystemExit(__doc__)
    bar_s, worst_s, twice = BARS_S.get(failure, BAR_S), 0.0, 0
    for number in range(1, int(times) + 1):
        result = result_of(failure, int(hosts), kind)
        say(f"{failure}, time {number}: {result.gap_s:.1f} s, {result.twice} second publishers")
        if result.gap_s > bar_s or result.twice:
            say(result.log)
        worst_s, twice = max(worst_s, result.gap_s), twice + result.twice
    say(f"longest {worst_s:.1f} s of {bar_s:.0f} s at most, {twice} second publishers of none")
    return int(worst_s > bar_s or twice > 0)


if __name__ == "__main__":
    sys.exit(main())
