"""Which machines of the cluster are hosts: those that offer cores have an actor each."""

import asyncio
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from streamsr.core.deadline import STOP_S
from streamsr.fleet.cluster.gcs import RayNode, address, alive_nodes
from streamsr.fleet.cluster.host_actor import HostActor
from streamsr.fleet.cluster.names import NAME_LABEL, NAMESPACE, host_actor_name, of_host_actor
from streamsr.fleet.cluster.urgency import Hurry

__all__ = ["Recruiter", "names_of"]

ENDED_S = STOP_S + 3.0  # for a host to end what it runs
BEGUN_S = 30.0  # for one to begin, where it does so on this machine

log = logging.getLogger("streamsr")


class Recruiter:
    """Keeps one actor a machine, by what there is in the cluster at the moment."""

    def __init__(self) -> None:
        self._busy = threading.Lock()  # with looking who there is
        self._dismissed = False
        self._hurry = Hurry(address())
        self._started = -BEGUN_S  # monotonic: the newest host

    def recruit(self) -> None:
        """Starts a host on every machine that has none, until they are dismissed. It blocks."""
        with self._busy:
            if self._dismissed:
                return
            taken = {node: host for host, node in _hosts()}
            nodes = [node for node in alive_nodes() if node.cpus]
            names = names_of(nodes, {n.id: taken[n.id] for n in nodes if n.id in taken})
            for node in nodes:
                if node.id not in taken:
                    _start(names[node.id], node)
                    self._started = monotonic()
                    log.info("fleet: %s is a host", names[node.id])
            self._hurry.on() if monotonic() - self._started < BEGUN_S else self._hurry.off()

    async def dismiss(self) -> None:
        """Has every host end what it runs, all at once, and ends it; one that does not answer, too:
        what it has ends with its leases."""
        await asyncio.gather(*(_end(host, actor) for host, actor in await self._dismissing()))

    async def _dismissing(self) -> list[tuple[str, Any]]:
        def found() -> list[tuple[str, Any]]:
            with self._busy:
                self._dismissed = True
                return list(_actors())

        return await asyncio.to_thread(found)


async def _end(host: str, actor: Any) -> None:
    try:
        async with asyncio.timeout(ENDED_S):
            await actor.stop.remote()
    except TimeoutError:
        log.warning("fleet: %s does not answer: it is killed", host)
    except ray.exceptions.RayError:
        log.warning("fleet: %s has ended already", host)
    with suppress(ray.exceptions.RayError):
        ray.kill(actor, no_restart=True)


def names_of(nodes: Iterable[RayNode], taken: dict[str, str]) -> dict[str, str]:
    """Returns the host names of nodes by their ids: the label "streamsr-host" of each, else its
    machine's name, with a number where another has that."""
    names = dict(taken)
    for node in nodes:
        if node.id in names:
            continue
        wanted = node.labels.get(NAME_LABEL) or node.hostname
        name, number = wanted, 1
        while name in names.values():
            number += 1
            name = f"{wanted}-{number}"
        names[node.id] = name
    return names


def _hosts() -> Iterator[tuple[str, str]]:
    """Name and node of every host that has an actor."""
    for actor in ray.util.list_named_actors(all_namespaces=True):
        found = of_host_actor(actor["name"]) if actor["namespace"] == NAMESPACE else None
        if found is not None:
            yield found


def _actors() -> Iterator[tuple[str, Any]]:
    """Name and actor of every host."""
    for host, node in _hosts():
        with suppress(ValueError):  # it has gone just now
            yield host, ray.get_actor(host_actor_name(host, node), namespace=NAMESPACE)


def _start(name: str, node: RayNode) -> Any:
    """What the actor is made with is in Ray's state: it holds no secret."""
    options: dict[str, Any] = {
        "name": host_actor_name(name, node.id),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "num_cpus": 0,
        "num_gpus": node.gpus,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False),
    }
    labels = {key: value for key, value in node.labels.items() if key != NAME_LABEL}
    return ray.remote(HostActor).options(**options).remote(name, labels)
