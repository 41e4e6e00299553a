"""What Ray's control service (GCS) knows, asked by a process that is in the cluster.

All of it blocks, for as long as the service cannot be reached. What this version of Ray has moved
(``private``) is done without: each function says how.
"""

import logging
import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import ray

from streamsr.core.redact import redact
from streamsr.fleet.cluster import private
from streamsr.fleet.cluster.private import KeyValues, MovedError

__all__ = [
    "HEAD",
    "RayNode",
    "actor_runs",
    "address",
    "alive_nodes",
    "is_this_process",
    "keep",
    "kept",
    "keys",
    "remove",
    "tell_that_this_machine_is_gone",
    "tell_which_machines_are_gone",
    "this_node",
]

KV_NAMESPACE = "streamsr"
RAYS_OWN = "ray.io/"  # of labels
MOST_LOOKED_AT = 10
LISTENS_S = 0.5  # for a raylet to take a connection
HEAD = "node:__internal_head__"  # a resource
ALIVE = "ALIVE"
STORE = KeyValues(KV_NAMESPACE)

T = TypeVar("T")

log = logging.getLogger("streamsr")


@dataclass(frozen=True, slots=True)
class RayNode:
    """A machine that Ray runs on."""

    id: str
    hostname: str
    labels: Mapping[str, str]  # that its owner gave it
    cpus: float  # that it offers
    gpus: float
    is_head: bool


def address() -> str:
    """Returns HOST:PORT of the cluster's head, which it has again after its restart."""
    return str(ray.get_runtime_context().gcs_address)


def alive_nodes() -> list[RayNode]:
    """Returns the machines there are, in an order that stays."""
    return sorted(_alive_nodes(), key=lambda node: node.id)


def _alive_nodes() -> Iterator[RayNode]:
    for node in _nodes():
        if node["Alive"]:
            resources: dict[str, float] = node["Resources"]
            labels = {k: v for k, v in node["Labels"].items() if not k.startswith(RAYS_OWN)}
            yield RayNode(
                node["NodeID"],
                node["NodeManagerHostname"],
                labels,
                resources.get("CPU", 0.0),
                resources.get("GPU", 0.0),
                HEAD in resources,
            )


def _nodes() -> list[dict[str, Any]]:
    return list(ray.nodes())  # type: ignore[no-untyped-call]


def actor_runs(actor: Any) -> bool:
    """Whether an actor's process runs, or is taken to: so it is where Ray does not say, and hosts
    then stop at the end of a lease."""
    try:
        facts = private.actor_facts(actor._actor_id.hex())
    except (MovedError, AttributeError) as error:
        _say_once(str(error))
        return True
    return bool(facts) and facts["State"] == ALIVE


def is_this_process(actor_id: str) -> bool | None:
    """Whether the process of this actor that counts is the one that asks; None where Ray does not
    say."""
    try:
        facts = private.actor_facts(actor_id)
    except MovedError as error:
        _say_once(str(error))
        return None
    return (
        bool(facts)
        and facts["State"] == ALIVE
        and (facts["Address"]["NodeID"], facts["Pid"]) == (this_node(), os.getpid())
    )


def tell_which_machines_are_gone() -> None:
    """Has Ray take machines for dead at whose raylet's port nothing listens any more, as it would
    by itself once its health checks have failed: it would start an actor there until then.

    Of many it looks at a few, others each time. Where Ray is told otherwise now, it waits for its
    checks. Raises RpcError.
    """
    alive = [node for node in _nodes() if node["Alive"]]
    for node in random.sample(alive, min(len(alive), MOST_LOOKED_AT)):
        try:
            place = node["NodeManagerAddress"], node["NodeManagerPort"]
            socket.create_connection(place, LISTENS_S).close()
        except ConnectionRefusedError:
            _or(None, partial(private.tell_that_it_is_gone, address(), node["NodeID"]))
        except OSError:
            pass  # it may be cut off, and run


def tell_that_this_machine_is_gone() -> None:
    """Has Ray take it for dead at once, as its raylet is. Raises RpcError."""
    _or(None, partial(private.tell_that_it_is_gone, address(), this_node()))


def this_node() -> str:
    """Returns the id of the Ray node of this process."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


def kept(key: str) -> bytes | None:
    """Returns what is kept under a key; None for nothing, and where Ray keeps nothing for us."""
    return _or(None, partial(STORE.get, key))


def keys(prefix: str) -> list[str]:
    """Returns the keys under which something is kept."""
    return _or([], partial(STORE.keys, prefix))


def keep(key: str, value: bytes) -> None:
    _or(None, partial(STORE.put, key, value))


def remove(key: str) -> None:
    _or(None, partial(STORE.remove, key))


def _or(otherwise: T, call: Callable[[], T]) -> T:
    try:
        return call()
    except MovedError as error:
        _say_once(str(error))
        return otherwise


@cache
def _say_once(what: str) -> None:
    log.warning("fleet: %s: it is done without, and slower", redact(what))
