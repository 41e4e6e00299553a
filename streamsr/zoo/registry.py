"""Finding models by name: their folders and what their cards say. Imports no torch, no numpy.

A model is a folder with a card and, where its network has parameters, safetensors weights. Folders
are looked for in ``--models``, then in ``STREAMSR_MODELS``, then in those streamsr comes with.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsr.core.config import load, nearest
from streamsr.core.data_dir import data_dir
from streamsr.core.errors import ConfigError, ModelError
from streamsr.core.redact import redact
from streamsr.networks.facts import Facts
from streamsr.zoo.card import CARD_NAME, Card

__all__ = ["Entry", "find", "folder_of_new", "lighter_of", "listing"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that was found: its name, its folder and what its card says."""

    name: str
    folder: Path
    card: Card

    @property
    def facts(self) -> Facts:
        return self.card.facts.facts()


def listing(folders: Sequence[Path] = ()) -> dict[str, Entry]:
    """Returns every model by name; of two with one name the one found first counts.

    Raises ModelError where a card is damaged.
    """
    entries: dict[str, Entry] = {}
    for folder in _model_folders(folders):
        entries.setdefault(folder.name, _entry(folder))
    return entries


def find(name: str, folders: Sequence[Path] = ()) -> Entry:
    """Returns the model called ``name``, or the one whose folder ``name`` is the path of.

    Raises ModelError naming the models there are.
    """
    if os.sep in name:
        if not os.path.isfile(Path(name) / CARD_NAME):
            raise ModelError(f"model {redact(name)!r}: there is no {CARD_NAME} in that folder")
        return _entry(Path(name))
    by_name = {folder.name: folder for folder in reversed(list(_model_folders(folders)))}
    if name not in by_name:
        known = ", ".join(sorted(by_name))
        got = f"{redact(name)!r}{nearest(name, by_name)}"
        raise ModelError(f"model: got {got}, allowed are {known}")
    return _entry(by_name[name])


def lighter_of(entry: Entry, folders: Sequence[Path] = ()) -> Entry | None:
    """Returns the lighter model that a card names; None if it names none. Raises ModelError."""
    if entry.card.lighter is None:
        return None
    where = f"{entry.folder / CARD_NAME}: lighter"
    try:
        lighter = find(entry.card.lighter, folders)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from None
    if lighter.facts.scale != entry.facts.scale:
        raise ModelError(
            f"{where}: got {lighter.name!r} of scale {lighter.facts.scale}, allowed is a model of "
            f"scale {entry.facts.scale}"
        )
    return lighter


def folder_of_new(name: str, destination: Path) -> Path:
    """Returns the folder of a model that is to be made. Raises ModelError where it cannot be."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ModelError(f"model name: got {name!r}, allowed are letters, digits, '_' and '-'")
    folder = destination / name
    if folder.exists():
        raise ModelError(f"model folder {folder}: is there already; nothing was written")
    return folder


def _entry(folder: Path) -> Entry:
    try:
        return Entry(folder.name, folder, load(folder / CARD_NAME, Card))
    except ConfigError as error:
        raise ModelError(str(error)) from None


def _model_folders(folders: Sequence[Path]) -> Iterator[Path]:
    """Every folder that holds a card, those of ``folders`` first."""
    environment = os.environ.get("STREAMSR_MODELS", "")
    places = [*folders, *(Path(p) for p in environment.split(os.pathsep) if p), data_dir("models")]
    for place in places:
        if not place.is_dir():
            raise ModelError(f"models folder {str(place)!r}: there is no such folder")
        yield from sorted(card.parent for card in place.glob(f"*/{CARD_NAME}"))
