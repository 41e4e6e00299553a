"""What commands have in common: options, and the log and exit codes around them."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from streamsr.cli.terminal import exit_codes, set_up_logs

__all__ = ["Device", "Json", "Model", "Models", "Set", "command"]

Model = Annotated[str, typer.Option(help="A model's name (see `models list`), or its folder.")]
Models = Annotated[
    list[Path] | None, typer.Option("--models", help="A folder of more models; may be repeated.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as in encoder.crf=20."),
]

P = ParamSpec("P")
R = TypeVar("R")


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Gives a command streamsr's log, errors and exit codes."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with exit_codes():
            set_up_logs()
            return function(*args, **kwargs)

    return run
