"""What Ray's control service (GCS) knows, asked by a process that is in the cluster.

Ray has no public call that says what state an actor is in, nor for its key-value store: they are
used here and nowhere else. All of it blocks, for as long as the service cannot be reached.
"""

import os
import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ray
from ray._private.grpc_utils import init_grpc_channel
from ray._private.state import state
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_list,
    _internal_kv_put,
)

# They come without types.
common_pb2: Any = import_module("ray.core.generated.common_pb2")
gcs_service_pb2: Any = import_module("ray.core.generated.gcs_service_pb2")
gcs_service_pb2_grpc: Any = import_module("ray.core.generated.gcs_service_pb2_grpc")

__all__ = [
    "HEAD",
    "RayNode",
    "actor_runs",
    "address",
    "alive_nodes",
    "is_this_process",
    "keep",
    "keep_its_errors_in_its_logs",
    "kept",
    "keys",
    "remove",
    "tell_which_machines_are_gone",
    "this_node",
]

KV_NAMESPACE = "streamsr"
RAYS_OWN = "ray.io/"  # of labels
TOLD_S = 2.0  # for a word to it
MOST_LOOKED_AT = 10
LISTENS_S = 0.5  # for a raylet to take a connection
HEAD = "node:__internal_head__"  # a resource
ALIVE = "ALIVE"


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
    """Whether an actor's process runs, or is taken to."""
    found = state.actor_table(actor._actor_id.hex())
    return bool(found) and found["State"] == ALIVE


def is_this_process(actor_id: str) -> bool:
    """Whether the process of this actor that counts is the one that asks."""
    found = state.actor_table(actor_id)
    return (
        bool(found)
        and found["State"] == ALIVE
        and (found["Address"]["NodeID"], found["Pid"]) == (this_node(), os.getpid())
    )


def tell_which_machines_are_gone() -> None:
    """Has Ray take machines for dead at whose raylet's port nothing listens any more, as it would
    by itself once its health checks have failed: it would start an actor there until then.

    Of many it looks at a few, others each time. Raises RpcError.
    """
    alive = [node for node in _nodes() if node["Alive"]]
    for node in random.sample(alive, min(len(alive), MOST_LOOKED_AT)):
        try:
            place = node["NodeManagerAddress"], node["NodeManagerPort"]
            socket.create_connection(place, LISTENS_S).close()
        except ConnectionRefusedError:
            _tell_that_it_is_gone(node["NodeID"])
        except OSError:
            pass  # it may be cut off, and run


def keep_its_errors_in_its_logs() -> None:
    """Has Ray not print them on the terminal of this process, which is to join: of a raylet that
    was killed it prints the last lines of its log. To be called before ``ray.init``."""
    of_ray: Any = import_module("ray._private.worker")
    of_ray.listen_error_messages = lambda *_: None


def _tell_that_it_is_gone(node: str) -> None:
    dead = common_pb2.NodeDeathInfo(
        reason=common_pb2.NodeDeathInfo.UNEXPECTED_TERMINATION,
        reason_message="nothing listens at its port",
    )
    request = gcs_service_pb2.UnregisterNodeRequest(
        node_id=bytes.fromhex(node), node_death_info=dead
    )
    with init_grpc_channel(address()) as channel:
        service = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        service.UnregisterNode(request, timeout=TOLD_S)


def this_node() -> str:
    """Returns the id of the Ray node of this process."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


def kept(key: str) -> bytes | None:
    """Returns what is kept under a key; None for nothing."""
    value: bytes | None = _internal_kv_get(key, namespace=KV_NAMESPACE)
    return value


def keys(prefix: str) -> list[str]:
    """Returns the keys under which something is kept."""
    return [key.decode() for key in _internal_kv_list(prefix, namespace=KV_NAMESPACE)]


def keep(key: str, value: bytes) -> None:
    _internal_kv_put(key, value, overwrite=True, namespace=KV_NAMESPACE)


def remove(key: str) -> None:
    _internal_kv_del(key, namespace=KV_NAMESPACE)
