"""The payloads a node publishes: JSON without secrets. Pure."""

import json
from collections.abc import Mapping

from streamsr.control.node_api import CameraState
from streamsr.core.redact import json_value
from streamsr.core.status import OutputStatus, StreamStatus
from streamsr.mqtt.event_queue import QueuedEvent

__all__ = [
    "AUTO",
    "OFF",
    "OFFLINE",
    "ON",
    "ONLINE",
    "addresses_json",
    "event_json",
    "metrics_json",
    "state_json",
]

ON, OFF = "ON", "OFF"
AUTO = "auto"  # a size: as the device and the source decide
ONLINE, OFFLINE = b"online", b"offline"


def state_json(camera: CameraState) -> bytes:
    """A camera's state: nothing in it changes while nothing happens, as it is sent on change."""
    status = camera.status
    return _json(
        {
            "state": status.state,
            **_why(status),
            "had_frame": status.had_frame,
            "enabled": camera.enabled,
            "model": status.model or None,
            "wanted": status.wanted or status.model or None,
            "size": camera.size or AUTO,
            "input": status.input or None,
            "output": status.output or None,
            "loses": status.self_check_loses,
            "recording": camera.recording,
            "outputs": {
                name: {"state": output.state, "target": output.target, **_why(output)}
                for name, output in camera.outputs.items()
            },
        }
    )


def addresses_json(page_url: str, camera: str) -> bytes:
    """Where a camera can be watched live, as Home Assistant, go2rtc and players take it."""
    return _json(
        {
            "page": f"{page_url}/watch/{camera}",
            "go2rtc": f"webrtc:{page_url}/whep/{camera}",
            "hls": f"{page_url}/hls/{camera}/index.m3u8",
            "image": f"{page_url}/snapshot/{camera}.jpg",
        }
    )


def metrics_json(status: StreamStatus, disk_free_bytes: int | None = None) -> bytes:
    """A camera's figures: frames a second, ms, dB, GB, and counts since the start."""
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
            "disk_free_gb": None if disk_free_bytes is None else disk_free_bytes / 1e9,
        }
    )


def event_json(queued: QueuedEvent) -> bytes:
    """A change, and the codes of its kind that there were since the last one that was told."""
    return _json(queued.event.as_json(queued.when) | {"between": list(queued.between)})


def _why(status: StreamStatus | OutputStatus) -> dict[str, str]:
    """What is wrong with it, empty where all is well, and since when it is as it is."""
    return {
        "code": status.code,
        "reason": status.reason,
        "since": status.since,
        "doing": status.doing,
    }


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(json_value(value), ensure_ascii=False, allow_nan=False).encode()
