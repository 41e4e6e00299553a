"""Ray on this machine, with hosts that are simulated: a head, and a raylet each, in processes."""

import json
import logging
import os
import shutil
import signal
from contextlib import suppress
from functools import partial
from time import monotonic, sleep
from typing import Any, Self

from ray.cluster_utils import Cluster

from streamsr.fleet.cluster.client import kept_signals
from streamsr.fleet.cluster.kept_state import RAY_ALONE
from streamsr.fleet.cluster.names import NAME_LABEL
from streamsr.fleet.cluster.repairs import Repairs
from streamsr.fleet.own_folder import hand_over, is_running, make_own_folder, name_of_process

__all__ = ["LocalCluster", "end_cluster"]

STORE_BYTES = 80 * 2**20  # the least that Ray takes; nothing goes through it
CONTROL = "gcs_server"  # what Ray calls the process of its control service
ENDED_S, LOOK_S = 10.0, 0.1  # for Ray's processes to end by themselves; between two looks
AGAIN_S = 15.0  # after a host has died: it is another machine then, or the same, started again

log = logging.getLogger("streamsr")


class LocalCluster:
    """Ray's head, which has no cameras, and hosts "host-1" and so on; ``mend`` it now and then."""

    def __init__(self, hosts: int, *, stays: bool = False) -> None:
        """``stays``: it goes on when this process ends."""
        self._storage = make_own_folder("streamsr-gcs-")
        os.environ.setdefault("RAY_gcs_storage", "rocksdb")  # so that a head goes on where it was
        os.environ.setdefault("RAY_gcs_storage_path", str(self._storage))
        os.environ[RAY_ALONE] = "1"
        with kept_signals():
            self._cluster = Cluster(
                initialize_head=True,
                head_node_args={"num_cpus": 0, **_LEAN},
                shutdown_at_exit=not stays,
            )
        self._head: Any = self._cluster.head_node
        names = [f"host-{number}" for number in range(1, hosts + 1)]
        self._hosts = {name: self._host(name) for name in names}
        self._repairs = Repairs()
        self._told = False  # that the head's raylet has ended

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def left_behind(self) -> bytes:
        """Has it go on without this process; returns what ``end_cluster`` ends it by."""
        hand_over(self._storage, self._head.all_processes[CONTROL][0].process.pid)
        nodes = [*self._hosts.values(), self._head]
        found = [(kind, p) for n in nodes for kind, ps in n.all_processes.items() for p in ps]
        found.sort(key=lambda process: process[0] == CONTROL)  # last: nodes say there that they end
        names = [name_of_process(process.process.pid) for _, process in found]
        return json.dumps({"folder": str(self._storage), "processes": names}).encode()

    def mend(self) -> None:
        """Starts what has died again: Ray's control service at once, hosts after a while."""
        gcs_runs = _runs(self._head, CONTROL)
        self._repairs.look("the head's control service", self._start_gcs, runs=gcs_runs)
        for name, node in list(self._hosts.items()):
            start = partial(self._start_host, name)
            self._repairs.look(name, start, runs=_runs(node, "raylet"), after_s=AGAIN_S)
        if not _runs(self._head, "raylet") and not self._told:
            self._told = True
            log.error("fleet: the head's raylet has ended: end `fleet run`, and start it again")

    def close(self) -> None:
        """Ends all of it."""
        with suppress(Exception):  # what has died already cannot be ended once more
            self._cluster.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(self._storage, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _start_gcs(self) -> None:
        self._head.kill_gcs_server(check_alive=False)
        self._head.start_gcs_server()

    def _start_host(self, name: str) -> None:
        node = self._hosts[name]
        node.kill_all_processes(check_alive=False, allow_graceful=False)
        self._cluster.worker_nodes.discard(node)
        self._hosts[name] = self._host(name)

    def _host(self, name: str) -> Any:
        labels = {NAME_LABEL: name}
        with kept_signals():
            return self._cluster.add_node(wait=False, num_cpus=1, labels=labels, **_LEAN)


def end_cluster(left_behind: bytes) -> None:
    """Ends a cluster that was left behind on this machine, and removes its folder."""
    left = json.loads(left_behind)
    *nodes, control = left["processes"]
    for names in (nodes, [control]):
        _end(names)
    shutil.rmtree(left["folder"], ignore_errors=True)


def _end(names: list[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = monotonic() + ENDED_S
        for name in filter(is_running, names):
            with suppress(OSError):
                os.kill(int(name.partition(" ")[0]), number)
        while any(map(is_running, names)) and monotonic() < until:
            sleep(LOOK_S)


_LEAN: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES}


def _runs(node: Any, kind: str) -> bool:
    processes = node.all_processes.get(kind, [])
    return bool(processes) and all(process.process.poll() is None for process in processes)
