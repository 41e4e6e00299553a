"""Models shown to people and to programs."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from streamsr.zoo.registry import Entry

__all__ = ["card_table", "listed", "models_table"]


def listed(entry: Entry) -> dict[str, Any]:
    """A model's card and its place, as JSON holds them."""
    return {
        "name": entry.name,
        "folder": str(entry.folder),
        **entry.card.model_dump(mode="json"),
    }


def models_table(entries: Iterable[Entry]) -> Table:
    """One line a model."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "scale", "frames", "lookahead", "colour", "what it is"):
        table.add_column(column)
    for entry in entries:
        facts = entry.facts
        numbers = (f"x{facts.scale}", str(facts.window), str(facts.lookahead))
        table.add_row(entry.name, *numbers, facts.colour, Text(entry.card.description))
    return table


def card_table(entry: Entry) -> Table:
    """All that a card says."""
    card, facts = entry.card, entry.facts
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
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
    for name, value in rows.items():
        if value:
            table.add_row(Text(name, "bold"), Text(value))
    return table
