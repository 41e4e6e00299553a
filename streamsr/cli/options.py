"""The options that commands have in common."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Device", "Json", "Model", "Models", "Set"]

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
