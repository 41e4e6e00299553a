"""What is needed of Ray that it has no public call for: used here and nowhere else.

A version of Ray may have moved any of it. Each is looked for when it is used, and what is not there
any more raises MovedError: those who use it know a slower way.
"""

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

__all__ = [
    "KeyValues",
    "MovedError",
    "StrangerError",
    "TokenRefusedError",
    "actor_facts",
    "keep_its_errors_in_its_logs",
    "name_what_runs",
    "tell_that_it_is_gone",
    "version_at",
]

# Where the version that this was written for has them.
STATE = "ray._private.state"
WORKER = "ray._private.worker"
UTILITIES = "ray._private.utils"
CHANNELS = "ray._private.grpc_utils"
KEY_VALUES = "ray.experimental.internal_kv"
MESSAGES = "ray.core.generated.common_pb2"
REQUESTS = "ray.core.generated.gcs_service_pb2"
SERVICES = "ray.core.generated.gcs_service_pb2_grpc"
CLIENT_REQUESTS = "ray.core.generated.ray_client_pb2"
CLIENT_SERVICES = "ray.core.generated.ray_client_pb2_grpc"

TOLD_S = 2.0  # for Ray to take in that a machine is gone
ANSWER_S = 10.0  # for Ray to say which version it is
REFUSED, SLOW = ("UNAUTHENTICATED", "PERMISSION_DENIED"), "DEADLINE_EXCEEDED"


class MovedError(Exception):
    """Ray has something no more where it was."""


class TokenRefusedError(Exception):
    """Ray asks for another token."""


class StrangerError(Exception):
    """What answers is no Ray that this process can talk to."""


def _found(module: str, *names: str) -> Any:
    """Raises MovedError."""
    try:
        found: Any = import_module(module)
        for name in names:
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise MovedError(f"this version of Ray has no {'.'.join((module, *names))}") from error
    return found


def actor_facts(actor_id: str) -> Mapping[str, Any]:
    """Returns what state an actor is in, and where; nothing of one that Ray does not know.

    Raises MovedError, and what Ray does where its control service cannot be reached.
    """
    facts: Mapping[str, Any] = _found(STATE, "state", "actor_table")(actor_id) or {}
    wanted = {"State", "Pid", "Address"}
    if facts and not wanted <= facts.keys():
        raise MovedError(f"this version of Ray says {sorted(facts)} of an actor")
    return facts


def tell_that_it_is_gone(cluster: str, node: str) -> None:
    """Has Ray take a machine for dead. ``cluster`` is the HOST:PORT of its head.

    Raises MovedError and RpcError.
    """
    reason = _found(MESSAGES, "NodeDeathInfo")
    request = _found(REQUESTS, "UnregisterNodeRequest")
    service = _found(SERVICES, "NodeInfoGcsServiceStub")
    try:
        dead = reason(
            reason=reason.UNEXPECTED_TERMINATION, reason_message="nothing listens at its port"
        )
        asked = request(node_id=bytes.fromhex(node), node_death_info=dead)
    except (AttributeError, ValueError, TypeError) as error:  # what protobuf raises for no field
        raise MovedError(f"this version of Ray is told otherwise: {error}") from error
    with _found(CHANNELS, "init_grpc_channel")(cluster) as channel:
        service(channel).UnregisterNode(asked, timeout=TOLD_S)


def version_at(place: str, *, of_its_client: bool) -> str:
    """Returns the version of Ray at HOST:PORT; "" where that does not say, or not in time.

    ``of_its_client``: it is the server of Ray's client. Raises MovedError, TokenRefusedError and
    StrangerError at once, where to join would fail after a minute.
    """
    if of_its_client:
        ping = _found(CLIENT_REQUESTS, "ClusterInfoType", "PING")
        request = _found(CLIENT_REQUESTS, "ClusterInfoRequest")(type=ping)
        service, name = _found(CLIENT_SERVICES, "RayletDriverStub"), "ClusterInfo"
    else:
        request = _found(REQUESTS, "CheckAliveRequest")()
        service, name = _found(SERVICES, "NodeInfoGcsServiceStub"), "CheckAlive"
    error_of_grpc = _found("grpc", "RpcError")
    with _found(CHANNELS, "init_grpc_channel")(place) as channel:
        try:
            answer = getattr(service(channel), name)(request, timeout=ANSWER_S)
        except error_of_grpc as error:
            code = error.code().name
            if code in REFUSED:
                raise TokenRefusedError(error.details()) from error
            if code != SLOW:
                raise StrangerError(f"{code}: {error.details()}") from error
            return ""
    return str(getattr(answer, "ray_version", ""))


def keep_its_errors_in_its_logs() -> None:
    """Has Ray not print them on the terminal of this process, which is to join: of a raylet that
    was killed it prints the last lines of its log. To be called before ``ray.init``."""
    with suppress(MovedError):
        _found(WORKER, "listen_error_messages")
        _found(WORKER).listen_error_messages = lambda *_: None


def name_what_runs(name: str) -> None:
    """Has Ray show a process that is to join as this, where it shows its command line otherwise, to
    all who may ask. To be called before ``ray.init``. Raises MovedError."""
    _found(UTILITIES, "get_entrypoint_name")
    _found(UTILITIES).get_entrypoint_name = lambda: name


class KeyValues:
    """Ray's key-value store, in a namespace. All but ``MovedError`` is raised by Ray itself."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def get(self, key: str) -> bytes | None:
        """Returns what is kept under a key; None for nothing."""
        value: bytes | None = self._call("get", key)
        return value

    def put(self, key: str, value: bytes) -> None:
        self._call("put", key, value, overwrite=True)

    def remove(self, key: str) -> None:
        self._call("del", key)

    def keys(self, prefix: str) -> list[str]:
        """Returns the keys that begin so."""
        return [key.decode() for key in self._call("list", prefix)]

    def _call(self, what: str, *about: Any, **how: Any) -> Any:
        return _found(KEY_VALUES, f"_internal_kv_{what}")(*about, **how, namespace=self._namespace)
