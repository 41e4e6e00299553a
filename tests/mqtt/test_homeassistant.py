"""The discovery message is as Home Assistant documents it, and fits our own messages."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from fake_node import camera_state, stream_status

from streamsr.core.status import StreamState
from streamsr.mqtt.homeassistant import DiscoveredCamera, discovery_messages
from streamsr.mqtt.messages import addresses_json, metrics_json, state_json
from streamsr.mqtt.parsing import parse_command
from streamsr.mqtt.topics import TopicKind, Topics, Verb

TOPICS = Topics("streamsr", "node", "homeassistant")
MODELS = ("edvr-m", "fast")


def discovered(camera: str = "yard", **changes: Any) -> DiscoveredCamera:
    outputs = ("rtsp-1", 'x "y" ü')
    return replace(DiscoveredCamera(camera, MODELS, "1080p", True, outputs, ""), **changes)


def config(topics: Topics = TOPICS, camera: str = "yard", **changes: Any) -> Any:
    """The message for the device."""
    messages = discovery_messages(topics, discovered(camera, **changes), "device")
    assert messages.keys() == {topics.discovery(camera)}
    return json.loads(messages[topics.discovery(camera)])


def test_the_device() -> None:
    payload = config()
    assert payload["device"]["identifiers"] == ["streamsr_node_yard"]
    assert payload["device"]["name"] == "node yard"
    assert set(payload["device"]) == {"identifiers", "name", "manufacturer", "model", "sw_version"}
    assert set(payload["origin"]) == {"name", "sw_version"}
    assert payload["availability_topic"] == "streamsr/node/availability"
    assert (payload["payload_available"], payload["payload_not_available"]) == ("online", "offline")


def test_the_entities() -> None:
    kinds = {key: entity["platform"] for key, entity in config()["components"].items()}
    assert kinds == {
        "enable": "switch",
        "record": "switch",
        "model": "select",
        "take_snapshot": "button",
        "live": "binary_sensor",
        "fps": "sensor",
        "latency_p99": "sensor",
        "dropped": "sensor",
        "reconnects": "sensor",
        "gain": "sensor",
        "loses": "binary_sensor",
        "running_model": "sensor",
        "input_size": "sensor",
        "output_size": "sensor",
        "snapshot": "image",
        "camera": "camera",
        "size": "select",
        "check": "button",
        "problem": "binary_sensor",
        "reason": "sensor",
        "disk_free": "sensor",
        "output_rtsp-1": "binary_sensor",
        "output_x__y___": "binary_sensor",
    }
    assert not {"record", "disk_free"} & config(recorder=False)["components"].keys()


def test_each_entity_has_a_message_of_its_own_for_versions_before_2024_11() -> None:
    whole = config()
    found = discovery_messages(TOPICS, discovered(), "components")
    assert len(found) == len(whole["components"])
    for key, entity in whole["components"].items():
        platform = entity.pop("platform")
        payload = json.loads(found[f"homeassistant/{platform}/streamsr_node_yard/{key}/config"])
        common = {k: v for k, v in whole.items() if k != "components"}
        assert payload == entity | common


def test_what_is_watched_live_is_linked_where_the_page_is_known() -> None:
    payload = config(page_url="http://sr.lan:8080")
    assert payload["device"]["configuration_url"] == "http://sr.lan:8080/watch/yard"
    topic = payload["components"]["camera"]["json_attributes_topic"]
    assert topic == TOPICS.addresses("yard")
    assert json.loads(addresses_json("http://sr.lan:8080", "yard")) == {
        "page": "http://sr.lan:8080/watch/yard",
        "go2rtc": "webrtc:http://sr.lan:8080/whep/yard",
        "hls": "http://sr.lan:8080/hls/yard/index.m3u8",
        "image": "http://sr.lan:8080/snapshot/yard.jpg",
    }
    assert "json_attributes_topic" not in config()["components"]["camera"]


def test_sizes_are_offered_with_the_one_there_is() -> None:
    assert config()["components"]["size"]["options"] == ["auto", "720p", "1080p", "4k"]
    odd = config(size="640x360")["components"]["size"]["options"]
    assert odd == ["auto", "720p", "1080p", "4k", "640x360"]


def test_ids_are_unique_over_cameras_and_nodes() -> None:
    ids = [
        entity["unique_id"]
        for node in ("a", "a_b")
        for camera in ("b", "b_c", "c")
        for entity in config(topics=Topics("s", node, "ha"), camera=camera)["components"].values()
    ]
    assert len(set(ids)) == len(ids)


def test_every_command_topic_accepts_what_its_entity_sends() -> None:
    parts = config()["components"]
    sends = {"enable": ["ON", "OFF"], "record": ["ON", "OFF"], "model": parts["model"]["options"]}
    sends["size"] = parts["size"]["options"]
    for key in ("take_snapshot", "check"):
        sends[key] = [parts[key]["payload_press"]]
    verbs = set()
    for key, payloads in sends.items():
        parsed = TOPICS.parse(parts[key]["command_topic"])
        assert parsed is not None
        assert parsed.kind is TopicKind.COMMAND
        for payload in payloads:
            verbs.add(parse_command(parsed, payload.encode(), ["yard"], MODELS).verb)
    assert verbs == set(Verb) - {Verb.CHANGE, Verb.ADD, Verb.REMOVE}


AWAY = {"state": StreamState.DOWN, "latency_p99_ms": None, "input": ""}
LOSING = {"self_check_gain_db": -0.5, "self_check_loses": True}


@pytest.mark.parametrize("changes", [{}, AWAY, LOSING])
def test_every_template_finds_its_value(changes: dict[str, Any]) -> None:
    payloads = {
        TOPICS.state("yard"): json.loads(state_json(camera_state(**changes))),
        TOPICS.metrics("yard"): json.loads(metrics_json(stream_status(**changes))),
    }
    found = {}
    for key, entity in config()["components"].items():
        if "state_topic" in entity and not key.startswith("output_"):
            (path,) = re.findall(r"value_json\.([a-z0-9_.]+)", entity["value_template"])
            value = payloads[entity["state_topic"]]
            for part in path.split("."):
                value = value[part]
            found[key] = value
    assert found["model"] in MODELS
    assert found["live"] == changes.get("state", "live")
    assert found["latency_p99"] == changes.get("latency_p99_ms", 120.5)
    assert (found["gain"], found["loses"]) == ((-0.5, True) if changes is LOSING else (None, False))
    assert found["size"] == "auto"
    assert len(found) == 16


def test_templates_give_what_switches_understand() -> None:
    parts = config()["components"]
    assert parts["enable"]["value_template"] == "{{ 'ON' if value_json.enabled else 'OFF' }}"
    assert parts["fps"]["value_template"] == "{{ value_json.fps }}"
    assert "'ON' if value_json.state == 'live' else 'OFF'" in parts["live"]["value_template"]
