"""Which machines of the cluster are hosts: those that offer cores have an actor each."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from streamsr.fleet.cluster.gcs import RayNode, alive_nodes
from streamsr.fleet.cluster.host_actor import HostActor
from streamsr.fleet.cluster.names import NAME_LABEL, NAMESPACE, host_actor_name, of_host_actor

__all__ = ["Recruiter", "names_of"]


log = logging.getLogger("streamsr")


class Recruiter:
    """Keeps one actor a machine, by what there is in the cluster at the moment."""

    def recruit(self, groups: Mapping[str, Any]) -> None:
        """Starts a host on every machine that has none; ``groups`` are those of its node.

        It blocks.
        """
        taken = {node: host for host, node in _hosts()}
        nodes = [node for node in alive_nodes() if node.cpus]
        names = names_of(nodes, {n.id: taken[n.id] for n in nodes if n.id in taken})
        for node in nodes:
            if node.id not in taken:
                _start(names[node.id], node, groups)
                log.info("fleet: %s is a host", names[node.id])

    async def dismiss(self) -> None:
        """Has every host end what it runs, and ends it."""
        for host, node in _hosts():
            actor = ray.get_actor(host_actor_name(host, node), namespace=NAMESPACE)
            try:
                await actor.stop.remote()
            except ray.exceptions.RayError:
                log.warning("fleet: %s has ended already", host)
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


def _start(name: str, node: RayNode, groups: Mapping[str, Any]) -> Any:
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
    return ray.remote(HostActor).options(**options).remote(name, labels, groups)
