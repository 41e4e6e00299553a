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
    entities = _entities(topics, camera, models)
    if not recorder:
        del entities["record"]
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


def _entities(topics: Topics, camera: str, models: tuple[str, ...]) -> dict[str, Entity]:
    state, metrics = topics.state(camera), topics.metrics(camera)

    def reading(platform: str, name: str, topic: str, expression: str, **more: object) -> Entity:
        value = {"state_topic": topic, "value_template": f"{{{{ {expression} }}}}"}
        return {"platform": platform, "name": name, **value, **more}

    def flag(platform: str, name: str, condition: str, **more: object) -> Entity:
        return reading(platform, name, state, f"'{ON}' if {condition} else '{OFF}'", **more)

    def sensor(name: str, topic: str, key: str, **more: object) -> Entity:
        return reading("sensor", name, topic, f"value_json.{key}", **more)

    command = {verb: {"command_topic": topics.command(camera, verb)} for verb in Verb}
    choice = {"options": list(models), **command[Verb.MODEL]}
    press = {"payload_press": "PRESS", **command[Verb.SNAPSHOT]}
    image = {"image_topic": topics.snapshot(camera), "content_type": "image/jpeg"}
    diagnostic = {"entity_category": "diagnostic"}
    problem = {"device_class": "problem", **diagnostic}
    count = {"state_class": "total_increasing", **diagnostic}
    measured = {"state_class": "measurement", "suggested_display_precision": 1}
    latency = {"device_class": "duration", "unit_of_measurement": "ms", **measured}
    gain = {"unit_of_measurement": "dB", **diagnostic, **measured}
    return {
        "enable": flag("switch", "Enabled", "value_json.enabled", **command[Verb.ENABLE]),
        "record": flag("switch", "Recording", "value_json.recording", **command[Verb.RECORD]),
        "model": reading("select", "Model", state, "value_json.wanted", **choice),
        "take_snapshot": {"platform": "button", "name": "Take snapshot", **press},
        "snapshot": {"platform": "image", "name": "Snapshot", **image},
        "live": flag(
            "binary_sensor", "Live", "value_json.state == 'live'", device_class="connectivity"
        ),
        "loses": flag("binary_sensor", "Worse than bicubic", "value_json.loses", **problem),
        "fps": sensor("Frame rate", metrics, "fps", unit_of_measurement="fps", **measured),
        "latency_p99": sensor("Latency p99", metrics, "latency_ms.p99", **latency),
        "dropped": sensor("Dropped frames", metrics, "frames_dropped", **count),
        "reconnects": sensor("Reconnects", metrics, "reconnects", **count),
        "gain": sensor("Gain over bicubic", metrics, "self_check_gain_db", **gain),
        "running_model": sensor("Running model", state, "model", **diagnostic),
        "input_size": sensor("Input size", state, "input", **diagnostic),
        "output_size": sensor("Output size", state, "output", **diagnostic),
    }


def _version() -> str:
    try:
        return version("streamsr")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
