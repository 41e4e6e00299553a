"""The commands of ``streamsr fleet``: cameras over many machines, on Ray."""

import signal
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from streamsr.cli.options import Json, Set
from streamsr.cli.run import run_until_interrupted
from streamsr.cli.terminal import print_result, say
from streamsr.core.config import load
from streamsr.core.deadline import Deadline
from streamsr.core.settings.fleet import FleetSettings
from streamsr.fleet.environment import prepare, prepare_to_join
from streamsr.fleet.host.machine import CORE_MS
from streamsr.fleet.messages import FleetStatus

if TYPE_CHECKING:
    from streamsr.fleet.gateway.gateway import Gateway

__all__ = ["drain_host", "fleet_status", "move_camera", "run_fleet", "serve_fleet", "stop_fleet"]

Address = Annotated[
    str,
    typer.Option(
        "--address", envvar="RAY_ADDRESS", help="Of Ray; else the cluster of this machine."
    ),
]
AddressOfFile = Annotated[
    str | None,
    typer.Option("--address", envvar="RAY_ADDRESS", help="Of Ray; else as the file says."),
]
Detach = Annotated[
    bool,
    typer.Option("--detach", help="Return once it runs; with address = local, Ray stays too."),
]


def run_fleet(
    config: Annotated[
        Path, typer.Argument(metavar="FLEET", help="A fleet's file, as pipelines/fleet.toml.")
    ],
    detach: Detach = False,
    set_: Set = None,
) -> None:
    """Have a fleet run what a file says, and follow both; Ctrl-C ends a local one alone."""

    def read() -> FleetSettings:
        return load(config, FleetSettings, set_ or [])

    settings = read()
    prepare(settings.fleet.address)
    from streamsr.fleet.cluster import running

    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    running.run_fleet(settings, read, config, stopping, say, detach=detach)


def fleet_status(address: Address = "auto", as_json: Json = False) -> None:
    """Show the fleet's hosts and cameras."""
    prepare_to_join(address)
    from streamsr.fleet.cluster.client import FleetClient, joined

    with joined(address):
        status = FleetClient.of_running().status()
    print_result(_to_json(status), _tables(status), as_json)


def drain_host(
    host: Annotated[str, typer.Argument(metavar="HOST", help="Its name, as status shows it.")],
    address: Address = "auto",
) -> None:
    """Move a host's cameras to others, and give it none until it starts again."""
    prepare_to_join(address)
    from streamsr.fleet.cluster.client import FleetClient, joined

    with joined(address):
        FleetClient.of_running().drain(host)


def move_camera(
    camera: Annotated[str, typer.Argument(metavar="CAMERA", help="Its name.")],
    host: Annotated[str, typer.Argument(metavar="HOST", help="The host that it is to run on.")],
    address: Address = "auto",
) -> None:
    """Move a camera to a host, where it stays while that is up."""
    prepare_to_join(address)
    from streamsr.fleet.cluster.client import FleetClient, joined

    with joined(address):
        FleetClient.of_running().move(camera, host)


def serve_fleet(
    config: Annotated[
        Path,
        typer.Argument(metavar="FLEET", help="A fleet's file: how it is served, and its broker."),
    ],
    address: AddressOfFile = None,
    set_: Set = None,
) -> None:
    """Show and steer a fleet that runs: its page, API, metrics and MQTT, from this machine."""
    settings = load(config, FleetSettings, set_ or [])
    group = settings.fleet
    address = address or ("auto" if group.is_local else group.address)
    prepare_to_join(address)
    from streamsr.fleet.cluster.client import FleetClient, joined
    from streamsr.fleet.cluster.serving import gateway_of

    asked: list[Gateway] = []

    async def work() -> None:
        gateway = gateway_of(settings, FleetClient.of_running())
        asked.append(gateway)
        await gateway.run(lambda url: say(f"Watch them all at {url}  (Ctrl-C ends it)"))

    def stop(deadline: Deadline) -> None:
        for gateway in asked:
            gateway.stop(deadline)

    with joined(address):
        _, code = run_until_interrupted(work, stop)
    raise typer.Exit(code)


def stop_fleet(address: Address = "auto") -> None:
    """End the fleet's cameras on all hosts, and forget what it was to run."""
    prepare_to_join(address)
    from streamsr.fleet.cluster import running

    running.stop_fleet(address)


def _to_json(status: FleetStatus) -> dict[str, Any]:
    data = asdict(status)
    return {
        "version": status.version,
        "hosts": [_rounded(host) for host in data["hosts"]],
        "cameras": [_rounded(camera) for camera in data["cameras"]],
    }


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(value, 1) if isinstance(value, float) else value for key, value in facts.items()
    }


def _tables(status: FleetStatus) -> Group:
    """Whole names in any width: rows are taller where it is narrow."""
    hosts, cameras = Table(), Table()
    for heading in ("host", "state", "pid", "cameras", "load", "kind"):
        hosts.add_column(heading, overflow="fold", no_wrap=heading not in ("host", "kind"))
    for heading in ("camera", "host", "state", "epoch", "reason"):
        cameras.add_column(heading, overflow="fold", no_wrap=heading in ("state", "epoch"))
    for host in status.hosts:
        load = f"{host.load / CORE_MS:.1f} of {host.capacity / CORE_MS:g} cores"
        counts = str(host.pid), str(host.cameras)
        hosts.add_row(Text(host.name), host.state, *counts, load, Text(host.kind))
    for camera in status.cameras:
        where = Text(camera.name), Text(camera.host or "none"), camera.state
        cameras.add_row(*where, str(camera.epoch), Text(camera.reason))
    return Group(hosts, cameras)
