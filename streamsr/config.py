"""Typed, frozen settings out of TOML: one loader, one error form, nothing about what they mean.

Every settings class derives from :class:`Settings`. An unknown key is an error that names the
nearest key there is.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from streamsr.errors import ConfigError

__all__ = ["Settings", "load", "nearest", "parse", "with_overrides"]


class Settings(BaseModel):
    """A frozen group of settings; keys are exact, and values are not bent to fit."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=Settings)


def load(path: Path, kind: type[S], overrides: Iterable[str] = ()) -> S:
    """Read a TOML file into ``kind``, ``overrides`` ("a.b=value") laid over it.

    Raises ConfigError naming the file, the key, what it got and what is allowed.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    return parse(with_overrides(data, overrides), kind, str(path))


def parse(data: dict[str, Any], kind: type[S], where: str) -> S:
    """Check ``data`` against ``kind``. Raises ConfigError with one line a fault.

    It goes through JSON because pydantic's strictness then knows what a file cannot hold: a path
    or a choice comes as a string and a tuple as a list, but "5" is no number and 1 is not true.
    """
    try:
        return kind.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        faults = [_describe(fault, kind) for fault in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{where}: {fault}" for fault in faults)) from None


def with_overrides(data: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Lay each "a.b=value" over ``data``; a value is TOML, or else a plain string."""
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(
                f"--set: got {override!r}, allowed is KEY=VALUE, as in encoder.crf=20"
            )
        data = _with(data, key.strip().split("."), _value(text))
    return data


def nearest(word: str, words: Iterable[str]) -> str:
    """Say what ``word`` may have meant: " (did you mean 'x'?)", or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _with(data: Any, keys: list[str], value: Any) -> dict[str, Any]:
    base = dict(data) if isinstance(data, dict) else {}
    base[keys[0]] = _with(base.get(keys[0]), keys[1:], value) if keys[1:] else value
    return base


def _describe(fault: Any, kind: type[BaseModel]) -> str:
    """One fault of pydantic's, in the house's words."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _keys_at(kind, fault["loc"][:-1])
        hint = nearest(str(fault["loc"][-1]), known)
        return f"unknown key {path!r}{hint}; allowed are {', '.join(sorted(known))}"
    if fault["type"] == "missing":
        return f"key {path!r} is missing"
    if not path:
        return str(fault["msg"]).removeprefix("Value error, ")
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{path}: got {fault['input']!r}: {message[0].lower()}{message[1:]}"


def _keys_at(kind: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys that the group at ``path`` below ``kind`` allows."""
    for part in path:
        field = kind.model_fields.get(str(part))
        if field is None:  # an index into a list, or a name in a table
            continue
        kind = _group_of(field.annotation) or kind
    return list(kind.model_fields)


def _group_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((group for a in get_args(annotation) if (group := _group_of(a))), None)
