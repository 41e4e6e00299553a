"""A topic and its meaning are each other's inverse, and no other topic means anything."""

import random
from itertools import product

import pytest

from streamsr.mqtt.topics import ParsedTopic, TopicKind, Topics, Verb

TOPICS = Topics("streamsr", "node", "homeassistant")
NAMES = ["yard", "front_door", "a-b", "_", "event", "state", "set", "availability", "0" * 64]


@pytest.mark.parametrize("topics", [TOPICS, Topics("site/a", "n_1", "ha")])
def test_a_topic_is_parsed_into_its_parts(topics: Topics) -> None:
    for camera, verb in product(NAMES, Verb):
        command = ParsedTopic(TopicKind.COMMAND, camera, verb)
        assert topics.parse(topics.command(camera, verb)) == command
        assert topics.parse(topics.state(camera)) == ParsedTopic(TopicKind.STATE, camera)
    assert topics.parse(topics.availability) == ParsedTopic(TopicKind.AVAILABILITY)
    assert topics.parse(topics.birth) == ParsedTopic(TopicKind.BIRTH)


def test_topics_that_are_only_published_are_not_parsed() -> None:
    for camera in NAMES:
        for topic in (TOPICS.metrics, TOPICS.event, TOPICS.snapshot, TOPICS.discovery):
            assert TOPICS.parse(topic(camera)) is None
    assert TOPICS.parse(TOPICS.event(None)) is None


def test_odd_names_in_a_command_are_kept_for_its_refusal() -> None:
    assert TOPICS.parse("streamsr/node//x y/set") == ParsedTopic(TopicKind.COMMAND, "", "x y")


def test_any_topic_can_be_parsed() -> None:
    chance = random.Random(3)
    parts = ["streamsr", "node", "yard", "set", "state", "", "+", "#", "\x00", "é", "$SYS", " "]
    for _ in range(20_000):
        topic = "/".join(chance.choices(parts, k=chance.randint(0, 7)))
        parsed = TOPICS.parse(topic)
        if parsed is not None:
            end = f"{parsed.verb}/set" if parsed.kind is TopicKind.COMMAND else "state"
            node = [] if parsed.camera else [f"streamsr/node/{end}"]
            assert topic in (f"streamsr/node/{parsed.camera}/{end}", *node)


def test_the_subscriptions() -> None:
    own = [
        "streamsr/node/+/+/set",
        "streamsr/node/+/set",
        "streamsr/node/+/state",
        "streamsr/node/availability",
    ]
    assert TOPICS.subscriptions(discovery=False) == own
    assert TOPICS.subscriptions(discovery=True) == [*own, "homeassistant/status"]


def test_a_device_has_a_plain_name_where_that_is_unique() -> None:
    assert TOPICS.device("yard") == "streamsr_node_yard"
    assert TOPICS.discovery("yard") == "homeassistant/device/streamsr_node_yard/config"


def test_no_two_cameras_are_one_device() -> None:
    names = ["a", "b", "a_b", "b_a", "_a", "a_", "a-b", "_", "__", "a_b_a"]
    prefixes = [*names, "a/b", "b/a", "a/b_a"]
    devices = [Topics(p, n, "ha").device(c) for p, n, c in product(prefixes, names, names)]
    assert len(set(devices)) == len(devices)
    assert all("/" not in device for device in devices)
