"""What has to stand in the environment before Ray is imported: who may join, and how quick it is.

Ray reads its settings from there once, and hands them to what it starts.
"""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from streamsr.core.config import parse
from streamsr.core.errors import UserError
from streamsr.core.settings.fleet import FleetGroup

__all__ = ["OF_ITS_CLIENT", "place_of", "prepare", "prepare_to_join"]

INSTALL = "pip install -U 'streamsr[fleet]'"
OLDEST = (2, 60)  # version of Ray
OF_ITS_CLIENT = "ray://"

MODE, TOKEN = "RAY_AUTH_MODE", "token"
OF_A_LOCAL_CLUSTER = {
    MODE: "disabled",
    "RAY_worker_niceness": "0",  # cameras are no batch
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}
QUIET = {
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # who is in no cluster starts none
}
ADDRESS, FOLDER, FILE_NAME = "RAY_ADDRESS", "RAY_TMPDIR", "ray_current_cluster"


def prepare(address: str) -> None:
    """Prepares for Ray at ``address``, as ``fleet.address`` has it.

    Who joins a cluster shows a token, unless Ray's own variable says otherwise. One that runs on
    this machine alone is as it was started. Raises UserError without Ray, or one that is too old.
    """
    if parse({"address": address}, FleetGroup, "--address").is_local:
        defaults = OF_A_LOCAL_CLUSTER
    else:
        defaults = {MODE: _mode_of_this_machines(address) or TOKEN}
    for name, value in (QUIET | defaults).items():
        os.environ.setdefault(name, value)
    _require_ray(address)


def prepare_to_join(address: str) -> None:
    """Prepares for a cluster that runs already. Raises UserError, for "local" too, which would
    start another one."""
    if parse({"address": address}, FleetGroup, "--address").is_local:
        raise UserError(
            f"--address: got {address!r}, which fleet run alone begins: allowed are auto, which "
            "finds the one that runs here, and where one is, as head:6379 or ray://head:10001"
        )
    prepare(address)


def _require_ray(address: str) -> None:
    """Raises UserError where Ray cannot be used, whatever is the matter with it."""
    try:
        version = str(import_module("ray").__version__)
    except (ImportError, AttributeError):  # the latter: a folder of that name is in the way
        raise UserError(f"fleet: Ray is not installed: {INSTALL}") from None
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UserError(f"fleet: got Ray {version}, allowed is {oldest} and newer: {INSTALL}")
    if address.startswith(OF_ITS_CLIENT):
        try:
            import_module("grpc")
        except ImportError:
            raise UserError(
                f"fleet: Ray is installed without its client, for {address!r}: {INSTALL}"
            ) from None


def place_of(address: str) -> tuple[str, int] | None:
    """Returns host and port of the cluster at ``address``; None where Ray alone finds it."""
    if address == "auto":
        address = os.environ.get(ADDRESS) or _current_cluster()
    host, _, port = address.removeprefix(OF_ITS_CLIENT).rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else None


def _mode_of_this_machines(address: str) -> str | None:
    """Returns the mode of a cluster whose control service runs on this machine, for this user;
    None for any other."""
    found = place_of(address)
    if address.startswith(OF_ITS_CLIENT) or found is None or not _is_own(found[0]):
        return None
    port = str(found[1])
    for said in (port, "0"):  # that it was started with; 0: it took a free one
        for environment in _environments_of_gcs(said):
            return environment.get(MODE, "disabled")
    return None


def _current_cluster() -> str:
    with suppress(OSError):
        return (Path(os.environ.get(FOLDER, "/tmp")) / "ray" / FILE_NAME).read_text().strip()
    return ""


def _is_own(host: str) -> bool:
    """Whether an address is one of this machine: it can be bound."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(where)
    except OSError:
        return False
    return True


def _environments_of_gcs(port: str) -> Iterator[dict[str, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if not arguments[0].endswith("gcs_server"):
                continue
            if f"--gcs_server_port={port}" in arguments:
                said = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                yield dict(line.partition("=")[::2] for line in said if line)
