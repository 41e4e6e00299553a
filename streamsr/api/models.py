"""The models there are, as a program may ask for them, and importing another. Imports no torch,
unless a model is imported."""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from streamsr.core.errors import InputError
from streamsr.zoo.registry import Entry, find, folder_of_new, listing

__all__ = ["Folders", "Model", "folders_of", "import_model", "list_models", "model_of", "path_of"]

Folders = str | PathLike[str] | Iterable[str | PathLike[str]]


@dataclass(frozen=True, slots=True)
class Model:
    """A model: what it is called, what it does, where it lies."""

    name: str
    family: str  # of members for other scales
    scale: int
    window: int  # images that one result looks at
    lookahead: int  # images after its own that a result waits for
    precision: str  # the lowest that it may run in
    description: str
    licence: str
    folder: Path


def list_models(folders: Folders = ()) -> list[Model]:
    """Returns every model there is, by name. Raises ModelError where a card is damaged."""
    found = listing(folders_of(folders))
    return [model_of(found[name]) for name in sorted(found)]


def import_model(
    checkpoint: str | PathLike[str], name: str, into: str | PathLike[str] = "models"
) -> Model:
    """Converts a published EDVR checkpoint to a model in the folder ``into``, and returns it.

    ``Upscaler(model.folder)`` runs it. Raises ModelError where it is damaged or no such checkpoint,
    and where there is a model of that name.
    """
    place = Path(path_of(into, "into"))
    folder_of_new(name, place)  # before torch is imported, which takes seconds
    from streamsr.zoo.convert import import_checkpoint

    folder = import_checkpoint(Path(path_of(checkpoint, "checkpoint")), place, name)
    return model_of(find(str(folder.resolve())))


def model_of(entry: Entry) -> Model:
    """Returns what a model's card says."""
    card, facts = entry.card, entry.facts
    return Model(
        entry.name,
        entry.family,
        facts.scale,
        facts.window,
        facts.lookahead,
        card.precision,
        card.description,
        card.origin.licence,
        entry.folder,
    )


def folders_of(folders: Folders) -> tuple[Path, ...]:
    """Returns the folders that are named, one or several of them. Raises InputError."""
    if isinstance(folders, str | PathLike) or not isinstance(folders, Iterable):
        return (Path(path_of(folders, "folders")),)
    return tuple(Path(path_of(folder, "folders")) for folder in folders)


def path_of(given: object, what: str) -> str:
    """Returns a name or a path as text. Raises InputError for what is none."""
    path = fspath(given) if isinstance(given, str | PathLike) else None
    if not isinstance(path, str) or not path:
        raise InputError(f"{what}: got {given!r}, allowed are names and paths")
    return path
