"""What payloads say: ours as JSON without secrets, and theirs, which are checked. Pure."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streamsr.core.events import Event
from streamsr.core.redact import redact
from streamsr.core.status import StreamStatus
from streamsr.mqtt.commands import OFF, ON, Command, Verb
from streamsr.mqtt.node_api import CameraState
from streamsr.mqtt.topics import Heard

__all__ = [
    "OFFLINE",
    "ONLINE",
    "RefusedError",
    "command_of",
    "event_json",
    "metrics_json",
    "state_json",
]

ONLINE, OFFLINE = b"online", b"offline"
MAX_BYTES = 256  # of a command's payload
SHOWN = 40  # characters of what somebody sent that a refusal repeats
LISTED = 20  # names that are allowed
_SWITCH = {"on": ON, "true": ON, "1": ON, "off": OFF, "false": OFF, "0": OFF}


class RefusedError(ValueError):
    """A command is not carried out. The message says what it got and what is allowed."""


def state_json(camera: CameraState) -> bytes:
    """What a camera is and does. It holds nothing that changes while nothing happens."""
    status = camera.status
    return _json(
        {
            "state": status.state,
            "enabled": camera.enabled,
            "model": status.model or None,
            "wanted": status.wanted or status.model or None,
            "input": status.input or None,
            "output": status.output or None,
            "loses": status.self_check_loses,
            "recording": camera.recording,
            "outputs": camera.outputs,
        }
    )


def metrics_json(status: StreamStatus) -> bytes:
    """How well a camera does: frames a second, ms, dB, and counts since the start."""
    return _json(
        {
            "fps": status.fps,
            "latency_ms": {"p50": status.latency_p50_ms, "p99": status.latency_p99_ms},
            "frames_in": status.frames_in,
            "frames_out": status.frames_out,
            "frames_dropped": status.frames_dropped,
            "dropped_by": status.dropped_by,
            "reconnects": status.reconnects,
            "self_check_gain_db": status.self_check_gain_db,
        }
    )


def event_json(event: Event, when: datetime) -> bytes:
    time = when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _json({"code": event.code.value, "message": event.message, "time": time})


def command_of(
    heard: Heard, payload: bytes, cameras: Collection[str], models: Sequence[str]
) -> Command:
    """The command that a message means. Raises RefusedError."""
    if heard.camera not in cameras:
        raise RefusedError(f"camera: got {_shown(heard.camera)}, allowed {_listed(cameras)}")
    try:
        verb = Verb(heard.word)
    except ValueError:
        raise RefusedError(f"command: got {_shown(heard.word)}, allowed {_listed(Verb)}") from None
    return Command(heard.camera, verb, _value(verb, _text(verb, payload), models))


def _text(verb: Verb, payload: bytes) -> str:
    if len(payload) > MAX_BYTES:
        raise RefusedError(f"{verb}: got {len(payload)} bytes, allowed {MAX_BYTES}")
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise RefusedError(f"{verb}: got {len(payload)} bytes, allowed UTF-8") from None


def _value(verb: Verb, text: str, models: Sequence[str]) -> str:
    if verb is Verb.SNAPSHOT:
        return ""
    if verb is Verb.MODEL:
        if text not in models:
            raise RefusedError(f"{verb}: got {_shown(text)}, allowed {_listed(models)}")
        return text
    value = _SWITCH.get(text.lower())
    if value is None:
        raise RefusedError(f"{verb}: got {_shown(text)}, allowed {ON}, {OFF}")
    return value


def _shown(text: str) -> str:
    """What somebody sent, short and free of control characters."""
    return ascii(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def _listed(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some if len(some) <= LISTED else [*some[:LISTED], "..."]) or "none"


def _json(value: Any) -> bytes:
    return json.dumps(_clean(value), ensure_ascii=False, allow_nan=False).encode()


def _clean(value: Any) -> Any:
    """Without secrets, and without the numbers that JSON does not have."""
    if isinstance(value, str):
        # what cannot be UTF-8, as in a file's odd name, becomes a question mark
        return redact(value).encode(errors="replace").decode()
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_clean(str(key)): _clean(item) for key, item in value.items()}
    return value
