"""A camera as Home Assistant discovers it: one device with its entities. Pure.

In one message for the device, or in one for each entity, which versions before 2024.11 know alone.
https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from streamsr.core.version import version_of_streamsr
from streamsr.mqtt.messages import AUTO, OFF, OFFLINE, ON, ONLINE
from streamsr.mqtt.topics import Topics, Verb

__all__ = ["DiscoveredCamera", "Form", "discovery_messages"]

Entity = dict[str, object]
Form = Literal["device", "components"]

SIZES = ("720p", "1080p", "4k")
DIAGNOSTIC = {"entity_category": "diagnostic"}


@dataclass(frozen=True, slots=True)
class DiscoveredCamera:
    """What of a camera decides which entities it has."""

    name: str
    models: tuple[str, ...]  # the options offered
    size: str  # that it has now, as the options name it
    recorder: bool  # whether it can record
    outputs: tuple[str, ...]  # by name
    page_url: str  # where the page is from Home Assistant; "": not known


@lru_cache(maxsize=256)
def discovery_messages(topics: Topics, camera: DiscoveredCamera, form: Form) -> Mapping[str, bytes]:
    """The payloads of the camera's discovery topics, by topic."""
    device = topics.device(camera.name)
    entities = _entities(topics, camera)
    named = {key: {"unique_id": f"{device}_{key}", **e} for key, e in entities.items()}
    common: Entity = {
        "device": _device(topics, camera),
        "origin": {"name": "streamsr", "sw_version": version_of_streamsr()},
        "availability_topic": topics.availability,
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
    }
    if form == "device":
        return {topics.discovery(camera.name): _json({**common, "components": named, "qos": 1})}
    found = {}
    for key, entity in named.items():
        platform = str(entity["platform"])
        payload = {k: v for k, v in entity.items() if k != "platform"} | common
        found[topics.component(platform, camera.name, key)] = _json(payload | {"qos": 1})
    return found


def _device(topics: Topics, camera: DiscoveredCamera) -> Entity:
    device: Entity = {
        "identifiers": [topics.device(camera.name)],
        "name": f"{topics.node} {camera.name}",
        "manufacturer": "streamsr",
        "model": "Video super-resolution",
        "sw_version": version_of_streamsr(),
    }
    if camera.page_url:
        device["configuration_url"] = f"{camera.page_url}/watch/{camera.name}"
    return device


def _entities(topics: Topics, camera: DiscoveredCamera) -> dict[str, Entity]:
    entities = {
        **_controls(topics, camera),
        **_images(topics, camera),
        **_state(topics, camera),
        **_outputs(topics, camera),
        **_metrics(topics, camera),
    }
    if not camera.recorder:
        del entities["record"], entities["disk_free"]
    return entities


def _controls(topics: Topics, camera: DiscoveredCamera) -> dict[str, Entity]:
    state = topics.state(camera.name)
    command = {verb: {"command_topic": topics.command(camera.name, verb)} for verb in Verb}
    sizes = [AUTO, *dict.fromkeys((*SIZES, camera.size))]
    model = {"options": list(camera.models), **command[Verb.MODEL]}
    size = {"options": list(dict.fromkeys(sizes)), **command[Verb.SIZE]}
    press = {"platform": "button", "payload_press": "PRESS"}
    return {
        "enable": _flag("switch", "Enabled", state, "value_json.enabled", **command[Verb.ENABLE]),
        "record": _flag(
            "switch", "Recording", state, "value_json.recording", **command[Verb.RECORD]
        ),
        "model": _reading("select", "Model", state, "value_json.wanted", **model),
        "size": _reading("select", "Size", state, "value_json.size", **size),
        "take_snapshot": {"name": "Take snapshot", **press, **command[Verb.SNAPSHOT]},
        "check": {"name": "Self-check", **press, **command[Verb.SELF_CHECK], **DIAGNOSTIC},
    }


def _images(topics: Topics, camera: DiscoveredCamera) -> dict[str, Entity]:
    """The newest frame twice: as a camera, for cards that show one, and as an image."""
    topic = topics.snapshot(camera.name)
    image = {"platform": "image", "image_topic": topic, "content_type": "image/jpeg"}
    attributes = {"json_attributes_topic": topics.addresses(camera.name)} if camera.page_url else {}
    return {
        "camera": {"platform": "camera", "name": None, "topic": topic, **attributes},
        "snapshot": {"name": "Snapshot", **image},
    }


def _state(topics: Topics, camera: DiscoveredCamera) -> dict[str, Entity]:
    state = topics.state(camera.name)
    problem = {"device_class": "problem", **DIAGNOSTIC}
    more = ("code", "since", "doing", "had_frame")
    attributes = {
        "json_attributes_topic": state,
        "json_attributes_template": "{{ {"
        + ", ".join(f"'{key}': value_json.{key}" for key in more)
        + "} | tojson }}",
    }
    return {
        "live": _flag(
            "binary_sensor",
            "Live",
            state,
            "value_json.state == 'live'",
            device_class="connectivity",
        ),
        "problem": _flag("binary_sensor", "Problem", state, "value_json.code", **problem),
        "reason": _reading(
            "sensor",
            "Reason",
            state,
            "(value_json.reason or 'all is well')[:250]",  # 255 characters is what a state holds
            **attributes,
            **DIAGNOSTIC,
        ),
        "loses": _flag("binary_sensor", "Worse than bicubic", state, "value_json.loses", **problem),
        "running_model": _sensor("Running model", state, "model", **DIAGNOSTIC),
        "input_size": _sensor("Input size", state, "input", **DIAGNOSTIC),
        "output_size": _sensor("Output size", state, "output", **DIAGNOSTIC),
    }


def _outputs(topics: Topics, camera: DiscoveredCamera) -> dict[str, Entity]:
    """Whether each output is written; one that there is none of now is off."""
    state = topics.state(camera.name)
    connected = {"device_class": "connectivity", **DIAGNOSTIC}
    return {
        f"output_{_key_of(name)}": _flag(
            "binary_sensor",
            f"Output {name}",
            state,
            f"value_json.outputs.get({json.dumps(name)}, {{}}).get('state') == 'up'",
            **connected,
        )
        for name in camera.outputs
    }


def _metrics(topics: Topics, camera: DiscoveredCamera) -> dict[str, Entity]:
    metrics = topics.metrics(camera.name)
    count = {"state_class": "total_increasing", **DIAGNOSTIC}
    measured = {"state_class": "measurement", "suggested_display_precision": 1}
    latency = {"device_class": "duration", "unit_of_measurement": "ms", **measured}
    gain = {"unit_of_measurement": "dB", **DIAGNOSTIC, **measured}
    disk = {"device_class": "data_size", "unit_of_measurement": "GB", **DIAGNOSTIC, **measured}
    return {
        "fps": _sensor("Frame rate", metrics, "fps", unit_of_measurement="fps", **measured),
        "latency_p99": _sensor("Latency p99", metrics, "latency_ms.p99", **latency),
        "dropped": _sensor("Dropped frames", metrics, "frames_dropped", **count),
        "reconnects": _sensor("Reconnects", metrics, "reconnects", **count),
        "gain": _sensor("Gain over bicubic", metrics, "self_check_gain_db", **gain),
        "disk_free": _sensor("Free on the disk", metrics, "disk_free_gb", **disk),
    }


def _reading(platform: str, name: str, topic: str, expression: str, **more: object) -> Entity:
    value = {"state_topic": topic, "value_template": f"{{{{ {expression} }}}}"}
    return {"platform": platform, "name": name, **value, **more}


def _flag(platform: str, name: str, topic: str, condition: str, **more: object) -> Entity:
    return _reading(platform, name, topic, f"'{ON}' if {condition} else '{OFF}'", **more)


def _sensor(name: str, topic: str, key: str, **more: object) -> Entity:
    return _reading("sensor", name, topic, f"value_json.{key}", **more)


def _key_of(name: str) -> str:
    """An output's name as topics and identifiers take it."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _json(value: Entity) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
