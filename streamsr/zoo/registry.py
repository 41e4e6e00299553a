"""Finding models by name: their folders and what their cards say. Imports no torch, no numpy.

A model is a folder with a card and, where its network has parameters, safetensors weights. Folders
are looked for in ``--models``, then in ``STREAMSR_MODELS``, then in those streamsr comes with; of
two models with one name, and of two members of one family and scale, the one found first counts.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from streamsr.core.config import load
from streamsr.core.errors import ConfigError, ModelError, nearest
from streamsr.core.redact import redact
from streamsr.networks.facts import Facts
from streamsr.zoo.card import AUTO, CARD_NAME, TRAINING_NAME, Card
from streamsr.zoo.data_dir import data_dir

__all__ = [
    "USUAL_SCALE",
    "Entry",
    "families",
    "find",
    "folder_of_new",
    "lighter_of",
    "listing",
    "members",
    "recipes",
    "training_command",
]

USUAL_SCALE = 4
NUMBERED = re.compile(r"(.+)-x([1-8])")  # NAME-xN: family NAME's member of scale N


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that was found: its name, its folder and what its card says."""

    name: str
    folder: Path
    card: Card

    @property
    def facts(self) -> Facts:
        return self.card.facts.facts()

    @property
    def family(self) -> str:
        return self.card.family or self.name


def listing(folders: Sequence[Path] = ()) -> dict[str, Entry]:
    """Returns every model by name. Raises ModelError where a card is damaged."""
    entries, damaged = _read(folders)
    for error in damaged.values():
        raise error
    return entries


def families(folders: Sequence[Path] = ()) -> dict[str, dict[int, Entry]]:
    """Returns every family's members by scale. Raises ModelError where a card is damaged."""
    return _families(listing(folders))


def recipes(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Returns the models that are not trained yet: name, and the file that ``train`` takes."""
    found = {path.parent.name: path for path in reversed(list(_files(TRAINING_NAME, folders)))}
    cards = {card.parent.name for card in _files(CARD_NAME, folders)}
    return {name: found[name] for name in sorted(found.keys() - cards)}


def training_command(recipe: Path) -> str:
    """Returns what trains the model of a recipe, to be typed where this program runs."""
    here = Path.cwd()
    path = recipe.relative_to(here) if recipe.is_relative_to(here) else recipe
    return f"streamsr train {quote(str(path))}"


def members(name: str, folders: Sequence[Path] = ()) -> dict[int, Entry]:
    """Returns the members by scale of the family called ``name``, or the one model it names.

    That is the folder of this name or path or, of NAME-xN, family NAME's member of scale N. Raises
    ModelError naming the models there are. A damaged card hides no other family.
    """
    if os.sep in name:
        if not os.path.isfile(Path(name) / CARD_NAME):
            raise ModelError(f"model {redact(name)!r}: {_no_model(name)}")
        return _alone(_entry(Path(name)))
    entries, damaged = _read(folders)
    for folder, error in damaged.items():
        numbered = NUMBERED.fullmatch(folder)
        if name == folder or (numbered and name == numbered[1]):
            raise error
    by_family = _families(entries)
    if name in by_family:
        return by_family[name]
    if name in entries:
        return _alone(entries[name])
    numbered = NUMBERED.fullmatch(name)
    if numbered and numbered[1] in by_family:
        return _alone(_member(numbered[1], by_family[numbered[1]], int(numbered[2])))
    raise _unknown(name, {*by_family, *entries}, folders)


def find(name: str, folders: Sequence[Path] = (), scale: int | None = None) -> Entry:
    """Returns the member of scale ``scale`` (left out: 4, or the largest) of what ``name`` names.

    A filter serves every scale. Raises ModelError as ``members`` does, and where there is no such
    member, naming the scales there are.
    """
    found = members(name, folders)
    if scale is not None:
        return _member(name, found, scale)
    return found.get(USUAL_SCALE) or found[max(found)]


def lighter_of(entry: Entry, folders: Sequence[Path] = ()) -> Entry | None:
    """Returns the member of the same scale of the lighter family that the card of ``entry`` names.

    None where it names none, or one without such a member. Raises ModelError for an unknown one.
    """
    if entry.card.lighter is None:
        return None
    try:
        return _served(members(entry.card.lighter, folders), entry.facts.scale)
    except ModelError as error:
        raise ModelError(f"{entry.folder / CARD_NAME}: lighter: {error}") from None


def folder_of_new(name: str, destination: Path) -> Path:
    """Returns the folder of a model that is to be made. Raises ModelError where it cannot be."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name == AUTO:
        allowed = f"letters, digits, '_' and '-', but not {AUTO!r}"
        raise ModelError(f"model name: got {name!r}, allowed are {allowed}")
    folder = destination / name
    if folder.exists():
        raise ModelError(f"model folder {folder}: is there already; nothing was written")
    return folder


def _no_model(path: str) -> str:
    if os.path.isfile(path):
        return "got a file, allowed is a model's folder; 'streamsr models import' makes one of it"
    if os.path.isdir(path):
        return f"there is no {CARD_NAME} in that folder"
    return "there is no such folder"


def _member(name: str, found: Mapping[int, Entry], scale: int) -> Entry:
    """The member of ``scale``. Raises ModelError naming the scales there are."""
    entry = _served(found, scale)
    if entry is not None:
        return entry
    *others, last = map(str, sorted(found))
    scales = f"{', '.join(others)} and {last}" if others else last
    is_family = any(entry.family == name for entry in found.values())
    has = f"family {name!r} has members" if is_family else f"model {redact(name)!r} is"
    raise ModelError(f"{has} of scale {scales}: got scale {scale}")


def _served(found: Mapping[int, Entry], scale: int) -> Entry | None:
    """The member of ``scale``, or the filter that does that too."""
    if scale in found:
        return found[scale]
    filters = [entry for entry in found.values() if entry.card.serves_every_scale]
    return replace(filters[0], card=filters[0].card.at_scale(scale)) if filters else None


def _families(entries: Mapping[str, Entry]) -> dict[str, dict[int, Entry]]:
    found: dict[str, dict[int, Entry]] = {}
    for entry in entries.values():
        found.setdefault(entry.family, {}).setdefault(entry.facts.scale, entry)
    return found


def _alone(entry: Entry) -> dict[int, Entry]:
    return {entry.facts.scale: entry}


def _unknown(name: str, known: set[str], folders: Sequence[Path]) -> ModelError:
    recipe = recipes(folders).get(name)
    if recipe is not None:
        return ModelError(f"model {name!r}: not trained yet: {training_command(recipe)} does it")
    got = f"{redact(name)!r}{nearest(name, known)}"
    return ModelError(f"model: got {got}, allowed are {', '.join(sorted(known))}")


def _read(folders: Sequence[Path]) -> tuple[dict[str, Entry], dict[str, ModelError]]:
    """The models by name, and what is wrong with the cards that cannot be read."""
    entries: dict[str, Entry] = {}
    damaged: dict[str, ModelError] = {}
    for card in _files(CARD_NAME, folders):
        folder = card.parent
        if folder.name not in entries.keys() | damaged.keys():
            try:
                entries[folder.name] = _entry(folder)
            except ModelError as error:
                damaged[folder.name] = error
    return entries, damaged


def _entry(folder: Path) -> Entry:
    if folder.name == AUTO:
        raise ModelError(f"model folder {folder}: {AUTO!r} is no model's name: give it another")
    try:
        return Entry(folder.name, folder, load(folder / CARD_NAME, Card))
    except ConfigError as error:
        raise ModelError(str(error)) from None


def _files(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """The files of this name in the folders of models, those of ``folders`` first."""
    environment = os.environ.get("STREAMSR_MODELS", "")
    places = [*folders, *(Path(p) for p in environment.split(os.pathsep) if p), data_dir("models")]
    for place in places:
        if not place.is_dir():
            raise ModelError(f"models folder {str(place)!r}: there is no such folder")
        yield from sorted(place.glob(f"*/{name}"))
