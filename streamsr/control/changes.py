"""What may be asked of a node's cameras from afar, and the settings that come of it. Pure.

A client steers cameras; it is not given the machine. So it may name addresses, models and sizes,
but no files or folders, unless the node's own file names them, and no variables of the environment.
"""

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue

from streamsr.control.merge_patch import laid_over
from streamsr.core.config import FILLED_IN, Settings, parse
from streamsr.core.errors import ConfigError, nearest
from streamsr.core.redact import redact
from streamsr.core.redact.shown import MASK
from streamsr.core.settings import InputSettings, StreamSettings
from streamsr.core.settings.shapes import PlainName, Shaped
from streamsr.media.addresses import DEMO, FILE_SCHEMES, LIVE_SCHEMES

__all__ = ["CameraChange", "CameraGroups", "NewCamera", "Surroundings", "changed", "made"]

Group = dict[str, JsonValue]
SCHEMES = tuple(f"{scheme}://" for scheme in sorted(LIVE_SCHEMES | FILE_SCHEMES))
WHOLE = (DEMO, "whip")  # addresses that are no address
VARIABLE = "${"
URL, RECORDINGS = "settings.input.url", "settings.record.folder"
MODELS = ("settings.model.name", "settings.model.fallback")
OF_FILES = ("settings.input.follow", "settings.output.overwrite")
Address = Annotated[str, Field(min_length=1, max_length=2048, examples=["rtsp://10.0.0.9/live"])]
Size = Annotated[
    str,
    Shaped(
        r"^(720p|1080p|4k|[0-9]{2,4}|[0-9]{2,4}x[0-9]{2,4})$",
        "720p, 1080p, 4k, LINES or WIDTHxHEIGHT",
    ),
    Field(examples=["1080p"]),
]


class CameraGroups(Settings):
    """More of a camera's settings, by their groups in a node file; null takes a value back."""

    input: Group | None = None
    model: Group | None = None
    encoder: Group | None = None
    output: Group | None = None
    publish: list[Group] | None = None
    hls: Group | None = None
    record: Group | None = None
    limits: Group | None = None


class CameraChange(Settings):
    """What changes of a camera; what is left out stays."""

    url: Address | None = None  # with its password; it is never shown
    enabled: bool | None = None
    model: str | None = None
    size: Size | None = None  # null: as the device and the source decide
    recording: bool | None = None
    settings: CameraGroups | None = None


class NewCamera(CameraChange):
    """A camera to be added: the same as in a node file."""

    name: Annotated[PlainName, Field(examples=["gate"])]
    url: Address


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of a node decides what a client may ask for."""

    models: Sequence[str]
    folders: frozenset[Path]  # that its file has recordings in, absolute


def made(asked: NewCamera, around: Surroundings) -> StreamSettings:
    """Returns the settings of a new camera. Raises ConfigError."""
    before = StreamSettings(name=asked.name, input=InputSettings(url=DEMO))
    return _laid_over(before, {"name": asked.name}, asked, around)


def changed(before: StreamSettings, asked: CameraChange, around: Surroundings) -> StreamSettings:
    """Returns a camera's settings with what is asked for. Raises ConfigError."""
    data = before.model_dump(mode="json", exclude_none=True)
    return _laid_over(before, data, asked, around)


def _laid_over(
    before: StreamSettings, data: dict[str, Any], asked: CameraChange, around: Surroundings
) -> StreamSettings:
    groups = asked.settings.model_dump(exclude_unset=True) if asked.settings else {}
    if "url" in (groups.get("input") or {}):
        raise ConfigError("settings.input.url: it is set as 'url', beside 'settings'")
    merged = laid_over(laid_over(data, groups), _short_forms(asked))
    if asked.recording is not None and "folder" not in merged.get("record", {}):
        raise ConfigError(
            "recording: the camera has no group 'record': it says where to, "
            'as in {"settings": {"record": {"folder": "recordings"}}}'
        )
    after = parse(merged, StreamSettings, "body", FILLED_IN)
    known = set(_values(before, "settings"))
    for where, value in _values(after, "settings"):
        if (where, value) not in known:
            _check(where, value, around)
    return after


def _short_forms(asked: CameraChange) -> dict[str, Any]:
    """The patch that the values outside ``settings`` are."""
    patch: dict[str, Any] = {}
    if asked.url is not None:
        patch["input"] = {"url": asked.url}
    if asked.enabled is not None:
        patch["enabled"] = asked.enabled
    if asked.model is not None:
        patch["model"] = {"name": asked.model}
    if "size" in asked.model_fields_set:
        patch["output"] = {"size": asked.size, "scale": None}
    if asked.recording is not None:
        patch["record"] = {"enabled": asked.recording}
    return patch


def _values(settings: object, where: str) -> Iterator[tuple[str, Hashable]]:
    """Yields each value of settings with where it stands; those of a list stand in one place."""
    if isinstance(settings, Settings):
        for key in type(settings).model_fields:
            yield from _values(getattr(settings, key), f"{where}.{key}")
    elif isinstance(settings, tuple):
        for value in settings:
            yield from _values(value, where)
    elif isinstance(settings, Hashable):
        yield where, settings


def _check(where: str, value: object, around: Surroundings) -> None:
    """Raises ConfigError for a new value that names a file, or a model that there is not."""
    if where == RECORDINGS:
        _check_folder(str(value), around.folders)
    elif isinstance(value, Path) or where in OF_FILES:
        raise ConfigError(f"{where}: it is for the node's own file, and not set here")
    elif where in MODELS:
        _check_model("model" if where == MODELS[0] else where, str(value), around)
    elif where.endswith(".url"):
        _check_address("url" if where == URL else where, str(value))


def _check_address(where: str, url: str) -> None:
    if url not in WHOLE and not url.lower().startswith(SCHEMES):
        raise ConfigError(
            f"{where}: got no address of a camera, allowed are {', '.join((*SCHEMES, *WHOLE))}; "
            "files are for the node's own file"
        )
    if MASK in url:
        raise ConfigError(
            f"{where}: got {redact(url)!r}, whose secrets are left out: where it is to stay, leave "
            "it out"
        )
    if VARIABLE in url:
        raise ConfigError(f"{where}: variables of the environment are for the node's own file")


def _check_model(where: str, name: str, around: Surroundings) -> None:
    if name not in around.models:
        hint = nearest(name, around.models)
        raise ConfigError(f"{where}: got {name!r}{hint}, allowed are {', '.join(around.models)}")


def _check_folder(folder: str, allowed: Iterable[Path]) -> None:
    """Raises ConfigError for a folder that the node's file has no recordings in."""
    asked = Path(os.path.abspath(folder))
    if not any(asked.is_relative_to(known) for known in allowed):
        known = ", ".join(str(path) for path in sorted(allowed)) or "none"
        raise ConfigError(
            f"{RECORDINGS}: got {folder!r}, allowed are the folders of recordings that "
            f"the node's own file names, and those in them: {known}"
        )
