"""The names of the fleet's actors. They name no address: Ray's logs and its dashboard show them."""

__all__ = ["CONTROLLER", "HOST", "NAMESPACE", "host_actor_name", "of_host_actor"]

NAMESPACE = "streamsr"
CONTROLLER = "streamsr-controller"
HOST = "streamsr-host"
NAME_LABEL = "streamsr-host"  # of a Ray node: what its host is called


def host_actor_name(host: str, node: str) -> str:
    """Returns the name of the actor of a host on a Ray node."""
    return f"{HOST}/{host}/{node}"


def of_host_actor(name: str) -> tuple[str, str] | None:
    """Returns host and Ray node of an actor of that name; None for any other."""
    kind, _, rest = name.partition("/")
    host, _, node = rest.rpartition("/")
    return (host, node) if kind == HOST and host else None
