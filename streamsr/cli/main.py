"""The command line: the program, and which command is which function."""

from collections.abc import Callable

import typer

from streamsr.cli.batch.fleet_upscale import upscale_by_fleet
from streamsr.cli.fleet import (
    drain_host,
    fleet_status,
    move_camera,
    run_fleet,
    serve_fleet,
    stop_fleet,
)
from streamsr.cli.link import link
from streamsr.cli.models import import_model, list_models, model_info, show_models
from streamsr.cli.options import NamesCommand
from streamsr.cli.stream import bench, demo, node, probe, run, serve
from streamsr.cli.terminal import command
from streamsr.cli.training.degrade import degrade
from streamsr.cli.training.evaluate import evaluate
from streamsr.cli.training.teach import teach
from streamsr.cli.training.train import train
from streamsr.cli.upscale import upscale
from streamsr.core.events.log import log_uncaught
from streamsr.engine.allocator import keep_freed_memory

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: dict[str, Callable[..., None]] = {  # in the order in which --help lists them
    "demo": demo,
    "serve": serve,
    "run": run,
    "node": node,
    "link": link,
    "upscale": upscale,
    "probe": probe,
    "teach": teach,
    "train": train,
    "degrade": degrade,
    "eval": evaluate,
    "bench": bench,
}

app = typer.Typer(
    name="streamsr",
    help="Upscale live video as it arrives: a camera in, a sharper video out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer()
app.add_typer(models, name="models")
for name, function in COMMANDS.items():
    app.command(name, cls=NamesCommand)(command(function))
fleet = typer.Typer(no_args_is_help=True, help="Run cameras over many machines, on Ray.")
app.add_typer(fleet, name="fleet")
fleet.command("run")(command(run_fleet))
fleet.command("status")(command(fleet_status))
fleet.command("serve")(command(serve_fleet))
fleet.command("drain")(command(drain_host))
fleet.command("move")(command(move_camera))
fleet.command("stop")(command(stop_fleet))
fleet.command("upscale", cls=NamesCommand)(command(upscale_by_fleet))
models.callback(invoke_without_command=True)(command(show_models))
models.command("list")(command(list_models))
models.command("info")(command(model_info))
models.command("import")(command(import_model))


def main() -> None:
    """Runs the program."""
    keep_freed_memory()
    log_uncaught()
    app()
