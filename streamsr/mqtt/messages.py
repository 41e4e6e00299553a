"""The payloads a node publishes: JSON without secrets. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from streamsr.core.events import Event
from streamsr.core.redact import json_value
from streamsr.core.status import StreamStatus
from streamsr.mqtt.node_api import CameraState

__all__ = ["OFF", "OFFLINE", "ON", "ONLINE", "event_json", "metrics_json", "state_json"]

ON, OFF = "ON", "OFF"
ONLINE, OFFLINE = b"online", b"offline"


def state_json(camera: CameraState) -> bytes:
    """A camera's state: nothing in it changes while nothing happens, as it is sent on change."""
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
    """A camera's figures: frames a second, ms, dB, and counts since the start."""
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
    """An event; ``when`` it happened is written in UTC, to the millisecond."""
    time = when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _json({"code": event.code, "message": event.message, "time": time})


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(json_value(value), ensure_ascii=False, allow_nan=False).encode()
