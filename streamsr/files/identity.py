"""What a result depends on: its source, its model and its settings, in words to be compared."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streamsr.core.errors import InputError, ModelError
from streamsr.core.settings import StreamSettings
from streamsr.pipeline.selection import FOR_BEST, FOR_CLEAN, FOR_CODED
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import Entry, members

__all__ = ["differences", "identity_of", "model_digest", "models_of"]

SHOWN = ("size", "scale", "compare", "labels")  # of an output
ASIDE = {"url", "live", "give_up_s", "transport", "follow", "follow_s"}  # of a file's input


def identity_of(source: Path, settings: StreamSettings) -> dict[str, Any]:
    """Returns what the result of ``source`` by ``settings`` depends on; what is not said
    is left out. Raises InputError where there is no such source."""
    said = settings.model_dump(mode="json", exclude_defaults=True)
    given = {key: value for key, value in said.get("input", {}).items() if key not in ASIDE}
    output = {key: value for key, value in said.get("output", {}).items() if key in SHOWN}
    named = {**said.get("encoder", {}), **given, **output, **said.get("limits", {})}
    facts = {
        "input": _facts(source),
        "model": f"{settings.model.name} {model_digest(settings)}",
        "quality": str(settings.model.quality),
        "denoise": settings.model.denoise,
        "precision": settings.model.precision,
        "audio_from": settings.input.audio_from and _facts(settings.input.audio_from),
    }
    return {key: value for key, value in (named | facts).items() if value is not None}


def model_digest(settings: StreamSettings) -> str:
    """Returns eight digits that change with what the models that may run compute."""
    told = hashlib.sha256()
    for scale, entry in models_of(settings):
        card = entry.card
        weights = card.weights.sha256 if card.weights else ""
        told.update(f"{scale} {card.network} {card.options} {card.facts} {weights}".encode())
    return told.hexdigest()[:8]


def models_of(settings: StreamSettings) -> Iterator[tuple[int, Entry]]:
    """Yields the models that may run, each with its scale. Raises ModelError."""
    model = settings.model
    for name in (FOR_CODED, FOR_CLEAN, FOR_BEST) if model.name == AUTO else (model.name,):
        try:
            found = members(name, model.folders)
        except ModelError:
            if model.name == AUTO:
                continue
            raise
        yield from sorted(found.items())


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says what two identities differ in, for people; "" where they are equal."""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))

    told = []
    for name in names:
        was, now_is = (said.get(name, "not said") for said in (before, now))
        told.append(f"{name} was {was}, is {now_is}")
    return ", ".join(told)


def _facts(source: Path) -> str:
    try:
        if source.is_dir():
            found = [one.stat() for one in os.scandir(source) if not one.name.startswith(".")]
            bytes_, newest = sum(f.st_size for f in found), max(f.st_mtime_ns for f in found)
            return f"{len(found)} files, {bytes_} bytes, {_when(newest)}"
        facts = source.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {source}: cannot be opened: {reason}") from None
    return f"{facts.st_size} bytes, {_when(facts.st_mtime_ns)}"


def _when(modified_ns: int) -> str:
    whole, rest = divmod(modified_ns, 10**9)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}.{rest:09}"
