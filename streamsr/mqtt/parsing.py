"""From a message on a command's topic to the command, or to what is wrong with it. Pure."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from streamsr.control.changes import CameraChange, NewCamera
from streamsr.core.config import Settings, parse
from streamsr.core.errors import ConfigError
from streamsr.core.target_size import TargetSize
from streamsr.mqtt.messages import AUTO, OFF, ON
from streamsr.mqtt.topics import ParsedTopic, Verb

__all__ = ["Command", "RefusedError", "parse_command"]

MAX_BYTES = 256  # of a command's payload
MAX_JSON_BYTES = 65_536  # of one in JSON
MAX_SHOWN = 40  # characters of what was sent that a refusal repeats
MAX_LISTED = 20  # allowed names that a refusal lists
_SWITCH = {"on": ON, "true": ON, "1": ON, "off": OFF, "false": OFF, "0": OFF}

S = TypeVar("S", bound=Settings)


class RefusedError(ValueError):
    """A command is not carried out. The message tells what it got and what is allowed."""


@dataclass(frozen=True, slots=True)
class Command:
    """One valid command. ``value`` is ON, OFF, a model's name, a size, or what a camera is to be;
    "" where nothing is to be said."""

    camera: str
    verb: Verb
    value: str | NewCamera | CameraChange = ""


def parse_command(
    topic: ParsedTopic, payload: bytes, cameras: Collection[str], models: Sequence[str]
) -> Command:
    """The command that a message gives. Raises RefusedError."""
    verb = _verb(topic)
    if verb is Verb.ADD:
        new = _json(verb, payload, NewCamera)
        return Command(new.name, verb, new)
    camera = _text(verb, payload) if verb is Verb.REMOVE else topic.camera
    if camera not in cameras:
        raise RefusedError(f"camera: got {_shown(camera)}, allowed {_listed(cameras)}")
    if verb is Verb.CHANGE:
        return Command(camera, verb, _json(verb, payload, CameraChange))
    return Command(camera, verb, _value(verb, _text(verb, payload), models))


def _verb(topic: ParsedTopic) -> Verb:
    allowed = [verb for verb in Verb if verb.of_node is (topic.camera == "")]
    if topic.verb not in allowed:
        raise RefusedError(f"command: got {_shown(topic.verb)}, allowed {_listed(allowed)}")
    return Verb(topic.verb)


def _text(verb: Verb, payload: bytes, most_bytes: int = MAX_BYTES) -> str:
    if len(payload) > most_bytes:
        raise RefusedError(f"{verb}: got {len(payload)} bytes, allowed {most_bytes}")
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise RefusedError(f"{verb}: got {len(payload)} bytes, allowed UTF-8") from None


def _json(verb: Verb, payload: bytes, kind: type[S]) -> S:
    """What an object in JSON says. It may hold an address with its password: none is repeated."""
    text = _text(verb, payload, MAX_JSON_BYTES)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RefusedError(f"{verb}: got {len(payload)} bytes, allowed is an object in JSON")
    try:
        return parse(found, kind, verb)
    except ConfigError as error:
        raise RefusedError(str(error)) from None


def _value(verb: Verb, text: str, models: Sequence[str]) -> str:
    match verb:
        case Verb.ENABLE | Verb.RECORD:
            value = _SWITCH.get(text.lower())
            if value is None:
                raise RefusedError(f"{verb}: got {_shown(text)}, allowed {ON}, {OFF}")
            return value
        case Verb.MODEL if text not in models:
            raise RefusedError(f"{verb}: got {_shown(text)}, allowed {_listed(models)}")
        case Verb.MODEL:
            return text
        case Verb.SIZE:
            return _size(text)
    return ""


def _size(text: str) -> str:
    """A size, as settings name one; a scale is not set here."""
    try:
        if text != AUTO:
            TargetSize.parse(text, None)
    except ValueError as error:
        raise RefusedError(f"{Verb.SIZE}: got {_shown(text)}: {error}, or {AUTO}") from None
    return text


def _shown(text: str) -> str:
    """What was sent, short and free of control characters."""
    return ascii(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}...")


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:MAX_LISTED] + ["..."] * (len(listed) > MAX_LISTED)) or "none"
