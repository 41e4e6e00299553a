"""Typed, frozen settings out of TOML: one loader, one error form, nothing about what they mean.

Every settings class derives from :class:`Settings`. An unknown key is an error that names the
nearest key there is.
"""

import json
import logging
import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import urlsplit

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
    ValidationInfo,
)

from streamsr.core.errors import ConfigError, nearest
from streamsr.core.files import write_whole
from streamsr.core.redact import SecretAddress, filled_in

__all__ = [
    "AS_SAID",
    "FILLED_IN",
    "FilePath",
    "Name",
    "Settings",
    "Text",
    "Url",
    "dump",
    "load",
    "parse",
    "with_overrides",
]


class Settings(BaseModel):
    """A frozen group of settings; keys are exact, and values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)
FILLED_IN = {"filled_in": True}  # the context of settings whose addresses say what they mean
AS_SAID = {"as_said": True}  # the context of a dump whose addresses are as a file says them
logger = logging.getLogger("streamsr")
FORMER_NAMES = {"ladder": "fallback", "sound": "audio"}  # of keys: accepted with a warning
SECRET = {"url"}  # keys of addresses: what they hold is never shown, however it is misspelt
SHOWN = 80  # characters of a value
MAX_TEXT, MAX_PART = 2048, 255  # bytes of a text, and of what is between the slashes of a path
# A byte that is not UTF-8, which Python keeps as a lone surrogate: JSON cannot carry one. In it,
# and in TOML, a character of Unicode's last private plane stands for it.
BYTES = {0xDC00 + byte: chr(0x10DC00 + byte) for byte in range(0x80, 0x100)}
SURROGATES = {ord(carried): chr(byte) for byte, carried in BYTES.items()}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}://")


def load(path: Path, kind: type[S], overrides: Iterable[str] = ()) -> S:
    """Reads a TOML file into ``kind``, ``overrides`` ("a.b=value") laid over it.

    Raises ConfigError naming the file, the key, what it got and what is allowed.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, ValueError, RecursionError) as error:  # a number of 5000 digits, 1000 brackets
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    return parse(with_overrides(data, overrides), kind, str(path))


def dump(settings: Settings, path: Path) -> None:
    """Writes a TOML file that ``load`` reads, whole or not at all. Raises OSError, ValueError."""
    text = tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True)).encode()
    write_whole(path, text)


def parse(
    data: dict[str, Any], kind: type[S], where: str, context: dict[str, bool] | None = None
) -> S:
    """Checks ``data`` against ``kind``. Raises ConfigError with one line a fault.

    With FILLED_IN as the context "@FILE" and "${NAME}" in addresses stay what they are.

    It goes through JSON because pydantic's strictness then knows what a file cannot hold: a path
    or a choice comes as a string and a tuple as a list, but "5" is no number and 1 is not true.
    """
    try:
        named = _with_new_names(data, kind, f"{where}: ")
        text = json.dumps(named, default=str, ensure_ascii=False).translate(BYTES)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: cannot be read: {error}") from None
    try:
        return kind.model_validate_json(text, strict=True, context=context)
    except ValidationError as error:
        faults = [_describe(fault, kind) for fault in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{where}: {fault}" for fault in faults)) from None


def with_overrides(data: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Lays each "a.b=value" over ``data``; a value is TOML, or else a plain string."""
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(
                f"--set: got {_shown(override)}, allowed is KEY=VALUE, as in encoder.crf=20"
            )
        data = _with(data, key.strip().split("."), _value(text))
    return data


def _with_new_names(data: Any, kind: type[BaseModel], path: str) -> Any:
    """``data`` with every key under its present name. Raises ConfigError where it has both."""
    if isinstance(data, list | tuple):
        return [_with_new_names(part, kind, f"{path}{n}.") for n, part in enumerate(data)]
    if not isinstance(data, dict):
        return data
    renamed: dict[str, Any] = {}
    for key, value in data.items():
        name = FORMER_NAMES.get(key, key)
        if name == key or name not in kind.model_fields:
            name = key
        elif name in data:
            raise ConfigError(f"{path}{key}: got {name!r} as well, which is its name now")
        else:
            logger.warning("%s%s: its name is now %r", path, key, name)
        field = kind.model_fields.get(name)
        group = _group_of(field.annotation) if field is not None else None
        renamed[name] = _with_new_names(value, group, f"{path}{name}.") if group else value
    return renamed


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _with(data: Any, keys: list[str], value: Any) -> dict[str, Any]:
    base = dict(data) if isinstance(data, dict) else {}
    base[keys[0]] = _with(base.get(keys[0]), keys[1:], value) if keys[1:] else value
    return base


def _describe(fault: Any, kind: type[BaseModel]) -> str:
    """One fault that pydantic found, in our words."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _group_at(kind, fault["loc"][:-1]).model_fields
        hint = nearest(str(fault["loc"][-1])[:SHOWN], known)
        return f"unknown key {_shown(path)}{hint}; allowed are {', '.join(sorted(known))}"
    if fault["type"] == "missing":
        return f"key {path!r} is missing"
    if not path:
        return str(fault["msg"]).removeprefix("Value error, ")
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "value_error" and isinstance(fault["input"], dict):
        return f"{path}: {message}"  # of keys that it names, which do not go together
    got = _shown(fault["input"], private=_is_private(fault, kind))
    return f"{path}: got {got}: {message[0].lower()}{message[1:]}"


def _is_private(fault: Any, kind: type[BaseModel]) -> bool:
    """Whether what was got may be an address, in its place or in that of the group around it."""
    *around, key = (part for part in fault["loc"] if isinstance(part, str))
    field = _group_at(kind, around).model_fields.get(key)
    in_place_of_group = field is not None and _group_of(field.annotation) is not None
    return key in SECRET or (in_place_of_group and not isinstance(fault["input"], dict))


def _shown(value: object, *, private: bool = False) -> str:
    """A value as a message has it: short, addresses as their scheme alone."""
    text = repr(_masked(value, private))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def _masked(value: object, private: bool) -> object:
    if isinstance(value, dict):
        return {_masked(k, False): _masked(v, private or k in SECRET) for k, v in value.items()}
    if isinstance(value, list):
        return [_masked(part, private) for part in value]
    if isinstance(value, str) and (private or "://" in value or "@" in value):
        scheme = _SCHEME.match(value)
        return f"{scheme.group() if scheme else ''}***"
    return value


def _group_at(kind: type[BaseModel], path: Iterable[str | int]) -> type[BaseModel]:
    """The group at ``path`` below ``kind``."""
    for part in path:
        field = kind.model_fields.get(str(part))
        if field is None:  # an index into a list, or a name in a table
            continue
        kind = _group_of(field.annotation) or kind
    return kind


def _group_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((group for a in get_args(annotation) if (group := _group_of(a))), None)


def _filled_in(url: str, info: ValidationInfo) -> str:
    """Puts the environment's values and what files say in their places, unless that is done."""
    return SecretAddress(url) if info.context is FILLED_IN else filled_in(url)


def _printable(value: str) -> str:
    """Refuses what no address, name or path has, and what would break the lines of a log."""
    odd = next((letter for letter in value if ord(letter) < 32 or ord(letter) == 127), None)
    if odd is not None:
        raise ValueError(f"allowed is text without control characters, got {ord(odd):#04x} in it")
    if len(os.fsencode(value)) > MAX_TEXT:
        raise ValueError(f"allowed are {MAX_TEXT} bytes, got {len(os.fsencode(value))}")
    return value


def _short(path: str) -> str:
    """Refuses what no file can be called."""
    longest = max(len(os.fsencode(part)) for part in path.split("/"))
    if longest > MAX_PART:
        raise ValueError(f"allowed are {MAX_PART} bytes in a file's name, got {longest}")
    return path


def _address(url: str) -> str:
    """Refuses what cannot be parsed. It may be a path: without a scheme everything can."""
    try:
        urlsplit(url)
    except ValueError:  # its own message quotes the password
        raise ValueError(
            "allowed is SCHEME://HOST:PORT/PATH, user name and password percent-encoded, an IPv6 "
            "host in brackets"
        ) from None
    return url


def _carried(value: object) -> object:
    """A text as JSON can carry it."""
    return value.translate(BYTES) if isinstance(value, str) else value


def _carried_url(url: str, info: SerializationInfo) -> str:
    if info.context is AS_SAID and isinstance(url, SecretAddress):
        url = url.said
    return url.translate(BYTES)


def _as_is(value: str) -> str:
    return value.translate(SURROGATES)


# What a text may be; whether there is such a file is not asked here.
Text = Annotated[
    str,
    BeforeValidator(_carried),
    AfterValidator(_as_is),
    AfterValidator(_printable),
    PlainSerializer(_carried, return_type=str, when_used="json"),
]
Name = Annotated[Text, Field(min_length=1), AfterValidator(_short)]
FilePath = Annotated[
    Path,
    AfterValidator(lambda path: Path(_short(_printable(_as_is(str(path)))))),
    PlainSerializer(lambda path: _carried(str(path)), return_type=str, when_used="json"),
]
Url = Annotated[
    str,
    Field(min_length=1),
    BeforeValidator(_carried),
    AfterValidator(_as_is),
    PlainSerializer(_carried_url, return_type=str, when_used="json"),
    AfterValidator(_filled_in),
    AfterValidator(_printable),
    AfterValidator(_address),
]
