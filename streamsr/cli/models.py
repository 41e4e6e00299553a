"""The commands of ``streamsr models``: list the models there are, inspect one, import another."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from streamsr.cli.options import Json, Models
from streamsr.cli.terminal import facts_table, print_result, say
from streamsr.core.errors import ModelError
from streamsr.zoo.registry import Entry, find, folder_of_new, listing

__all__ = ["import_model", "list_models", "model_info"]

ZIP, PICKLE = b"PK", b"\x80"  # how what torch.save writes begins, today and until 1.5


def list_models(models: Models = None, as_json: Json = False) -> None:
    """List the models there are."""
    entries = listing(models or []).values()
    table = Table(box=None, pad_edge=False)
    for column in ("model", "scale", "frames", "lookahead", "colour", "what it is"):
        table.add_column(column)
    for entry in entries:
        facts = entry.facts
        numbers = (f"x{facts.scale}", str(facts.window), str(facts.lookahead))
        table.add_row(entry.name, *numbers, facts.colour, Text(entry.card.description))
    print_result([_to_json(entry) for entry in entries], table, as_json)


def model_info(
    name: Annotated[str, typer.Argument(help="A model's name, or its folder.")],
    models: Models = None,
    as_json: Json = False,
) -> None:
    """Show a model's card."""
    entry = find(name, models or [])
    print_result(_to_json(entry), _card_table(entry), as_json)


def import_model(
    checkpoint: Annotated[Path, typer.Argument(help="A published EDVR checkpoint (.pth).")],
    name: Annotated[str, typer.Option(help="What the model is to be called.")],
    into: Annotated[Path, typer.Option(help="The folder of models to add it to.")] = Path("models"),
) -> None:
    """Convert a published checkpoint (BasicSR's, mmagic's, the 2019 release's) to a model."""
    folder_of_new(name, into)
    _check_checkpoint(checkpoint)
    from streamsr.zoo.convert import import_checkpoint

    say(f"imported; use it with --model {import_checkpoint(checkpoint, into, name)}")


def _check_checkpoint(path: Path) -> None:
    """Raises ModelError where ``path`` cannot be a checkpoint, before torch is imported."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ModelError(f"checkpoint {path}: cannot be read: {error.strerror}") from None
    if path.suffix != ".safetensors" and not start.startswith((ZIP, PICKLE)):
        raise ModelError(f"checkpoint {path}: is damaged, or no checkpoint")


def _to_json(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "folder": str(entry.folder),
        **entry.card.model_dump(mode="json"),
    }


def _card_table(entry: Entry) -> Table:
    """All that a card says."""
    card, facts = entry.card, entry.facts
    return facts_table(
        {
            "model": entry.name,
            "what it is": card.description,
            "folder": str(entry.folder),
            "network": f"{card.network} {card.options}",
            "precision": card.precision,
            "facts": f"x{facts.scale}, {facts.window} frames, lookahead {facts.lookahead}, "
            f"{facts.colour}, multiples of {facts.multiple}",
            "weights": f"{card.weights.file}, SHA-256 {card.weights.sha256}"
            if card.weights
            else "none",
            "trained on": card.origin.trained_on,
            "training": card.origin.training,
            "licence": card.origin.licence,
            "limits": card.origin.limits,
            **card.figures,
        }
    )
