"""What Home Assistant is told of a camera: one device with its entities. Pure.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

import json
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from streamsr.mqtt.commands import OFF, ON, Verb
from streamsr.mqtt.messages import OFFLINE, ONLINE
from streamsr.mqtt.topics import Topics

__all__ = ["device_config"]

Entity = dict[str, Any]


@lru_cache(maxsize=256)
def device_config(topics: Topics, camera: str, models: tuple[str, ...], recorder: bool) -> bytes:
    """The payload of the camera's discovery topic.

    ``models`` are the options offered; without a recorder there is no switch for one.
    """
    device = topics.device(camera)
    entities = _controls(topics, camera, models, recorder) | _readings(topics, camera)
    config = {
        "device": {
            "identifiers": [device],
            "name": f"{topics.node} {camera}",
            "manufacturer": "streamsr",
            "model": "Video super-resolution",
            "sw_version": _version(),
        },
        "origin": {"name": "streamsr", "sw_version": _version()},
        "components": {
            key: {"unique_id": f"{device}_{key}"} | entity for key, entity in entities.items()
        },
        "availability_topic": topics.availability,
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
        "qos": 1,
    }
    return json.dumps(config, ensure_ascii=False).encode()


def _controls(
    topics: Topics, camera: str, models: tuple[str, ...], recorder: bool
) -> dict[str, Entity]:
    state = topics.state(camera)

    def control(platform: str, name: str, verb: Verb, **more: Any) -> Entity:
        command = topics.command(camera, verb)
        return {"platform": platform, "name": name, "command_topic": command} | more

    def switch(name: str, verb: Verb, key: str) -> Entity:
        template = _template(f"'{ON}' if value_json.{key} else '{OFF}'")
        return control("switch", name, verb, state_topic=state, value_template=template)

    controls = {
        "enable": switch("Enabled", Verb.ENABLE, "enabled"),
        "model": control(
            "select",
            "Model",
            Verb.MODEL,
            state_topic=state,
            value_template=_template("value_json.wanted"),
            options=list(models),
        ),
        "take_snapshot": control("button", "Take snapshot", Verb.SNAPSHOT, payload_press="PRESS"),
    }
    if recorder:
        controls["record"] = switch("Recording", Verb.RECORD, "recording")
    return controls


def _readings(topics: Topics, camera: str) -> dict[str, Entity]:
    state, metrics = topics.state(camera), topics.metrics(camera)

    def sensor(name: str, topic: str, value: str, **more: Any) -> Entity:
        template = _template(f"value_json.{value}")
        return {
            "platform": "sensor",
            "name": name,
            "state_topic": topic,
            "value_template": template,
        } | more

    def count(name: str, value: str) -> Entity:
        kind = {"state_class": "total_increasing", "entity_category": "diagnostic"}
        return sensor(name, metrics, value) | kind

    measured = {"state_class": "measurement", "suggested_display_precision": 1}
    latency = {"device_class": "duration", "unit_of_measurement": "ms"} | measured
    gain = {"unit_of_measurement": "dB", "entity_category": "diagnostic"} | measured
    shown = {"entity_category": "diagnostic"}
    return {
        "live": {
            "platform": "binary_sensor",
            "name": "Live",
            "device_class": "connectivity",
            "state_topic": state,
            "value_template": _template(f"'{ON}' if value_json.state == 'live' else '{OFF}'"),
        },
        "fps": sensor("Frame rate", metrics, "fps", unit_of_measurement="fps", **measured),
        "latency_p99": sensor("Latency p99", metrics, "latency_ms.p99", **latency),
        "dropped": count("Dropped frames", "frames_dropped"),
        "reconnects": count("Reconnects", "reconnects"),
        "gain": sensor("Gain over bicubic", metrics, "self_check_gain_db", **gain),
        "loses": {
            "platform": "binary_sensor",
            "name": "Worse than bicubic",
            "device_class": "problem",
            "state_topic": state,
            "value_template": _template(f"'{ON}' if value_json.loses else '{OFF}'"),
        }
        | shown,
        "running_model": sensor("Running model", state, "model", **shown),
        "input_size": sensor("Input size", state, "input", **shown),
        "output_size": sensor("Output size", state, "output", **shown),
        "snapshot": {
            "platform": "image",
            "name": "Snapshot",
            "image_topic": topics.snapshot(camera),
            "content_type": "image/jpeg",
        },
    }


def _template(expression: str) -> str:
    return f"{{{{ {expression} }}}}"


def _version() -> str:
    try:
        return version("streamsr")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
