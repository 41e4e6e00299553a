"""What may be asked of a node's cameras from afar, and the settings that come of it. Pure.

A client steers cameras; it is not given the machine. So it may name addresses, models and sizes,
but no files or folders, unless the node's own file names them, and no variables of the environment.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue

from streamsr.control.merge_patch import laid_over
from streamsr.core.config import FILLED_IN, Settings, nearest, parse
from streamsr.core.errors import ConfigError
from streamsr.core.redact import redact
from streamsr.core.redact.shown import MASK
from streamsr.core.settings import StreamSettings
from streamsr.core.settings.stream import NAME
from streamsr.media.addresses import DEMO, FILE_SCHEMES, LIVE_SCHEMES

__all__ = ["CameraChange", "CameraGroups", "NewCamera", "Surroundings", "changed", "made"]

Group = dict[str, JsonValue]
SCHEMES = tuple(f"{scheme}://" for scheme in sorted(LIVE_SCHEMES | FILE_SCHEMES))
WHOLE = (DEMO, "whip")  # addresses that are no address
VARIABLE = "${"
PATHS = ("input.audio_from", "output.path", "output.overwrite", "model.folders", "hls.folder")
FOLLOWED = "input.follow"  # of files alone
Address = Annotated[str, Field(min_length=1, max_length=2048, examples=["rtsp://10.0.0.9/live"])]
Size = Annotated[
    str, Field(pattern=r"^(720p|1080p|4k|\d{2,4}|\d{2,4}x\d{2,4})$", examples=["1080p"])
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

    name: Annotated[str, Field(pattern=NAME, examples=["gate"])]
    url: Address


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of a node decides what a client may ask for."""

    models: Sequence[str]
    folders: frozenset[Path]  # that its file has recordings in, absolute


def made(asked: NewCamera, around: Surroundings) -> StreamSettings:
    """Returns the settings of a new camera. Raises ConfigError."""
    return _laid_over({"name": asked.name}, asked, around)


def changed(before: StreamSettings, asked: CameraChange, around: Surroundings) -> StreamSettings:
    """Returns a camera's settings with what is asked for. Raises ConfigError."""
    data = before.model_dump(mode="json", exclude_none=True)
    return _laid_over(data, asked, around)


def _laid_over(data: dict[str, Any], asked: CameraChange, around: Surroundings) -> StreamSettings:
    groups = asked.settings.model_dump(exclude_unset=True) if asked.settings else {}
    _check_groups(groups, around)
    merged = laid_over(laid_over(data, groups), _short_forms(asked, around))
    if asked.recording is not None and "folder" not in merged.get("record", {}):
        raise ConfigError(
            "recording: the camera has no group 'record': it says where to, "
            'as in {"settings": {"record": {"folder": "recordings"}}}'
        )
    return parse(merged, StreamSettings, "body", FILLED_IN)


def _short_forms(asked: CameraChange, around: Surroundings) -> dict[str, Any]:
    """The patch that the values outside ``settings`` are."""
    patch: dict[str, Any] = {}
    if asked.url is not None:
        _check_address(asked.url)
        patch["input"] = {"url": asked.url}
    if asked.enabled is not None:
        patch["enabled"] = asked.enabled
    if asked.model is not None:
        _check_model("model", asked.model, around)
        patch["model"] = {"name": asked.model}
    if "size" in asked.model_fields_set:
        patch["output"] = {"size": asked.size, "scale": None}
    if asked.recording is not None:
        patch["record"] = {"enabled": asked.recording}
    return patch


def _check_groups(groups: Mapping[str, Any], around: Surroundings) -> None:
    """Raises ConfigError for what names files, variables or models that there are not."""
    for path in (*PATHS, FOLLOWED):
        group, _, key = path.partition(".")
        if key in (groups.get(group) or {}):
            raise ConfigError(f"settings.{path}: it is for the node's own file, and not set here")
    if "url" in (groups.get("input") or {}):
        raise ConfigError("settings.input.url: it is set as 'url', beside 'settings'")
    for server in groups.get("publish") or ():
        _check_text("settings.publish.url", str(server.get("url", "")))
    model = groups.get("model") or {}
    names = model.get("fallback") or ()
    for name in (*(names if isinstance(names, list) else ()), model.get("name")):
        if name is not None:
            _check_model("settings.model", str(name), around)
    folder = (groups.get("record") or {}).get("folder")
    if folder is not None:
        _check_folder(str(folder), around.folders)


def _check_address(url: str) -> None:
    if url not in WHOLE and not url.lower().startswith(SCHEMES):
        raise ConfigError(
            f"url: got no address of a camera, allowed are {', '.join((*SCHEMES, *WHOLE))}; files "
            "are for the node's own file"
        )
    _check_text("url", url)


def _check_text(where: str, url: str) -> None:
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
            f"settings.record.folder: got {folder!r}, allowed are the folders of recordings that "
            f"the node's own file names, and those in them: {known}"
        )
