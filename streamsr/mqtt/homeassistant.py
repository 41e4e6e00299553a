"""A camera as Home Assistant discovers it: one device with its entities. Pure.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

import json
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from streamsr.mqtt.messages import OFF, OFFLINE, ON, ONLINE
from streamsr.mqtt.topics import Topics, Verb

__all__ = ["device_config"]

Entity = dict[str, object]


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
            key: {"unique_id": f"{device}_{key}", **entity} for key, entity in entities.items()
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

    def control(platform: str, name: str, verb: Verb, **more: object) -> Entity:
        command = topics.command(camera, verb)
        return {"platform": platform, "name": name, "command_topic": command, **more}

    def switch(name: str, verb: Verb, flag: str) -> Entity:
        template = _on_if(f"value_json.{flag}")
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

    def reading(platform: str, name: str, topic: str, template: str, **more: object) -> Entity:
        value = {"state_topic": topic, "value_template": template}
        return {"platform": platform, "name": name, **value, **more}

    def sensor(name: str, topic: str, key: str, **more: object) -> Entity:
        return reading("sensor", name, topic, _template(f"value_json.{key}"), **more)

    def binary_sensor(name: str, condition: str, **more: object) -> Entity:
        return reading("binary_sensor", name, state, _on_if(condition), **more)

    diagnostic = {"entity_category": "diagnostic"}
    count = {"state_class": "total_increasing", **diagnostic}
    measured = {"state_class": "measurement", "suggested_display_precision": 1}
    latency = {"device_class": "duration", "unit_of_measurement": "ms", **measured}
    gain = {"unit_of_measurement": "dB", **diagnostic, **measured}
    return {
        "live": binary_sensor("Live", "value_json.state == 'live'", device_class="connectivity"),
        "fps": sensor("Frame rate", metrics, "fps", unit_of_measurement="fps", **measured),
        "latency_p99": sensor("Latency p99", metrics, "latency_ms.p99", **latency),
        "dropped": sensor("Dropped frames", metrics, "frames_dropped", **count),
        "reconnects": sensor("Reconnects", metrics, "reconnects", **count),
        "gain": sensor("Gain over bicubic", metrics, "self_check_gain_db", **gain),
        "loses": binary_sensor(
            "Worse than bicubic", "value_json.loses", device_class="problem", **diagnostic
        ),
        "running_model": sensor("Running model", state, "model", **diagnostic),
        "input_size": sensor("Input size", state, "input", **diagnostic),
        "output_size": sensor("Output size", state, "output", **diagnostic),
        "snapshot": {
            "platform": "image",
            "name": "Snapshot",
            "image_topic": topics.snapshot(camera),
            "content_type": "image/jpeg",
        },
    }


def _on_if(condition: str) -> str:
    return _template(f"'{ON}' if {condition} else '{OFF}'")


def _template(expression: str) -> str:
    return f"{{{{ {expression} }}}}"


def _version() -> str:
    try:
        return version("streamsr")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
