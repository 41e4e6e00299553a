"""The commands of ``streamsr models``: list the models there are, inspect one, import another."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamsr.cli.options import Json, Models
from streamsr.cli.terminal import facts_table, print_result, say
from streamsr.core.config import load
from streamsr.core.devices import pick_device
from streamsr.core.errors import ModelError
from streamsr.plugins.registry import Kind
from streamsr.plugins.registry import find as find_plugin
from streamsr.train.settings import TrainSettings
from streamsr.zoo.fetched import check_fetched
from streamsr.zoo.registry import (
    Entry,
    families,
    find,
    folder_of_new,
    listing,
    recipes,
    training_command,
)

__all__ = ["import_model", "list_models", "model_info", "show_models"]

ZIP, PICKLE = b"PK", b"\x80"  # how what torch.save writes begins, today and until 1.5


def show_models(context: typer.Context, models: Models = None, as_json: Json = False) -> None:
    """List, inspect and import models; without a command: list them."""
    if context.invoked_subcommand is None:
        list_models(models, as_json)


def list_models(models: Models = None, as_json: Json = False) -> None:
    """List the models there are by family, and those that are not trained yet."""
    folders = models or []
    entries = listing(folders)
    planned = {path: load(path, TrainSettings) for path in recipes(folders).values()}
    tables = [_families_table(families(folders), entries.values()), *_recipes(planned)]
    result = [_to_json(entry) for entry in entries.values()]
    result += [_recipe_to_json(path, training) for path, training in planned.items()]
    print_result(result, Group(*tables), as_json)


def model_info(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="A family's or a model's name, or its folder.")
    ],
    models: Models = None,
    as_json: Json = False,
) -> None:
    """Show a model's card."""
    folders = models or []
    entry = find(name, folders)
    members = families(folders).get(entry.family, {})
    members = members or {entry.facts.scale: entry}
    named = {str(scale): member.name for scale, member in sorted(members.items())}
    print_result(_to_json(entry) | {"members": named}, _card_table(entry, named), as_json)


def import_model(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A published EDVR checkpoint.")
    ],
    name: Annotated[str, typer.Option(help="What the model is to be called.")],
    into: Annotated[Path, typer.Option(help="The folder of models to add it to.")] = Path("models"),
) -> None:
    """Convert a published checkpoint (BasicSR's, mmagic's, the 2019 release's) to a model."""
    folder_of_new(name, into)
    _check_checkpoint(checkpoint)
    from streamsr.zoo.convert import import_checkpoint

    folder = import_checkpoint(checkpoint, into, name)
    say(f"imported; use it with --model {folder}")
    say(_precision_here(find(str(folder))))


def _precision_here(entry: Entry) -> str:
    """What a model computes in on this machine, by a trial of each precision that it may."""
    import torch

    from streamsr.zoo.loading import precisions_of
    from streamsr.zoo.measured import Measured
    from streamsr.zoo.speed import Speed

    device = torch.device(pick_device("auto"))
    speed = Speed(device, Measured())
    quickest = speed.quickest(entry)
    others = [one for one in precisions_of(entry.card, device) if one != quickest]
    if not others:
        return f"here it computes in {quickest}"
    took = {one: speed.seconds_a_pixel(entry, one) for one in (quickest, *others)}
    beside = ", ".join(f"{took[one] / took[quickest]:.1f} times as long in {one}" for one in others)
    return f"here it computes in {quickest}: a frame takes {beside}, which --precision asks for"


def _check_checkpoint(path: Path) -> None:
    """Raises ModelError where ``path`` cannot be a checkpoint, before torch is imported."""
    try:
        check_fetched(path)
        with path.open("rb") as file:
            start = file.read(2)
    except ModelError as error:
        raise ModelError(f"checkpoint {path}: {error}") from None
    except OSError as error:
        raise ModelError(f"checkpoint {path}: cannot be read: {error.strerror}") from None
    if path.suffix != ".safetensors" and not start.startswith((ZIP, PICKLE)):
        raise ModelError(f"checkpoint {path}: is damaged, or no checkpoint")


def _to_json(entry: Entry) -> dict[str, Any]:
    card = entry.card.model_dump(mode="json") | {"family": entry.family}
    place = {"name": entry.name, "folder": str(entry.folder)}
    return place | card | {"plugin": _plugin(entry), "recipe": None}


def _plugin(entry: Entry) -> str | None:
    """Whose code its network is; None: streamsr's own, or nobody's who is installed."""
    try:
        plugin = find_plugin(Kind.NETWORK, entry.card.network)
    except ModelError as error:  # two distributions have one of this name
        return str(error)
    return str(plugin) if plugin is not None else None


def _recipe_to_json(path: Path, training: TrainSettings) -> dict[str, Any]:
    """A model that is not trained yet: ``recipe`` is the command that does it."""
    planned = Entry(training.name, path.parent, training.model)
    return _to_json(planned) | {"recipe": training_command(path)}


def _families_table(
    by_family: Mapping[str, Mapping[int, Entry]], entries: Iterable[Entry]
) -> Table:
    """A line a family, then one a model in whose place its family has another."""
    table = _table("family", "scales", "precision", "for")
    listed = set()
    for members in by_family.values():
        listed |= {entry.name for entry in members.values()}
        largest = members[max(members)]
        scales = ", ".join(_scale(members[scale]) for scale in sorted(members))
        precisions = ", ".join(dict.fromkeys(entry.card.precision for entry in members.values()))
        table.add_row(largest.family, scales, precisions, Text(largest.card.description))
    for entry in entries:
        if entry.name not in listed:
            card, name = entry.card, entry.name
            shown = str(entry.folder) if name in by_family else name
            table.add_row(shown, _scale(entry), card.precision, Text(card.description))
    return table


def _scale(entry: Entry) -> str:
    """A member's scale, and its name where that is neither its family's nor NAME-xN."""
    if entry.card.serves_every_scale:
        return "any"
    scale, family = entry.facts.scale, entry.family
    usual = entry.name in (family, f"{family}-x{scale}")
    return f"{scale}" if usual else f"{scale} ({entry.name})"


def _recipes(planned: Mapping[Path, TrainSettings]) -> Iterator[RenderableType]:
    """What is not trained yet, then the commands that do it: whole, to be copied."""
    if not planned:
        return
    table = _table("not trained yet", "scale", "for")
    for training in planned.values():
        card = training.model
        table.add_row(training.name, str(card.facts.scale), Text(card.description))
    yield table
    for path in planned:
        yield Text(f"$ {training_command(path)}", no_wrap=True, overflow="ignore")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _card_table(entry: Entry, members: Mapping[str, str]) -> Table:
    """All that a card says."""
    card, facts = entry.card, entry.facts
    return facts_table(
        {
            "model": entry.name,
            "family": f"{entry.family}: "
            + ", ".join(f"x{scale} {name}" for scale, name in members.items()),
            "what it is": card.description,
            "folder": str(entry.folder),
            "network": f"{card.network} {card.options}",
            **({"made by": whose} if (whose := _plugin(entry)) else {}),
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
