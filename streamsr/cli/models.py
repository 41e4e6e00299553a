"""The commands of ``streamsr models``: list the models there are, inspect one, import another."""

from pathlib import Path
from typing import Annotated

import typer

from streamsr.cli.options import Json, Models, command, print_result
from streamsr.cli.terminal import console

__all__ = ["import_model", "list_models", "model_info"]


@command
def list_models(models: Models = None, as_json: Json = False) -> None:
    """List the models there are."""
    from streamsr.cli.tables import listed, models_table
    from streamsr.zoo.registry import listing

    entries = listing(models or [])
    print_result(
        [listed(entry) for entry in entries.values()], models_table(entries.values()), as_json
    )


@command
def model_info(
    name: Annotated[str, typer.Argument(help="A model's name, or its folder.")],
    models: Models = None,
    as_json: Json = False,
) -> None:
    """Show a model's card."""
    from streamsr.cli.tables import card_table, listed
    from streamsr.zoo.registry import find

    entry = find(name, models or [])
    print_result(listed(entry), card_table(entry), as_json)


@command
def import_model(
    checkpoint: Annotated[Path, typer.Argument(help="A published EDVR checkpoint (.pth).")],
    name: Annotated[str, typer.Option(help="What the model is to be called.")],
    into: Annotated[Path, typer.Option(help="The folder of models to add it to.")] = Path("models"),
) -> None:
    """Convert a published checkpoint (BasicSR's, mmagic's, the 2019 release's) to a model."""
    from streamsr.zoo.convert import import_checkpoint

    folder = import_checkpoint(checkpoint, into, name)
    console.print(
        f"imported; use it with --model {folder}", markup=False, highlight=False, soft_wrap=True
    )
