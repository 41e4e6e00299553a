"""A topic and its meaning are each other's inverse, and nothing else means anything."""

import random
from itertools import product

import pytest

from streamsr.mqtt.commands import Verb
from streamsr.mqtt.topics import About, Heard, Topics

TOPICS = Topics("streamsr", "node", "homeassistant")
NAMES = ["yard", "front_door", "a-b", "_", "event", "state", "set", "availability", "0" * 64]


@pytest.mark.parametrize("topics", [TOPICS, Topics("site/a", "n_1", "ha")])
def test_what_comes_in_is_what_was_meant(topics: Topics) -> None:
    for camera, verb in product(NAMES, Verb):
        assert topics.parse(topics.command(camera, verb)) == Heard(About.COMMAND, camera, verb)
        assert topics.parse(topics.state(camera)) == Heard(About.STATE, camera)
    assert topics.parse(topics.availability) == Heard(About.AVAILABILITY)
    assert topics.parse(topics.birth) == Heard(About.BIRTH)


def test_what_goes_out_means_nothing_coming_in() -> None:
    for camera in NAMES:
        for topic in (TOPICS.metrics, TOPICS.event, TOPICS.snapshot, TOPICS.discovery):
            assert TOPICS.parse(topic(camera)) is None
    assert TOPICS.parse(TOPICS.event(None)) is None


def test_odd_words_of_a_command_are_left_to_whoever_refuses_them() -> None:
    assert TOPICS.parse("streamsr/node//x y/set") == Heard(About.COMMAND, "", "x y")


def test_no_topic_breaks_it() -> None:
    chance = random.Random(3)
    words = ["streamsr", "node", "yard", "set", "state", "", "+", "#", "\x00", "é", "$SYS", " "]
    for _ in range(20_000):
        topic = "/".join(chance.choices(words, k=chance.randint(0, 7)))
        heard = TOPICS.parse(topic)
        if heard is not None:
            end = f"{heard.word}/set" if heard.about is About.COMMAND else "state"
            assert topic == f"streamsr/node/{heard.camera}/{end}"


def test_the_topics_that_are_listened_to() -> None:
    own = ["streamsr/node/+/+/set", "streamsr/node/+/state", "streamsr/node/availability"]
    assert TOPICS.subscriptions(discovery=False) == own
    assert TOPICS.subscriptions(discovery=True) == [*own, "homeassistant/status"]


def test_a_device_has_a_plain_name_where_it_can() -> None:
    assert TOPICS.device("yard") == "streamsr_node_yard"
    assert TOPICS.discovery("yard") == "homeassistant/device/streamsr_node_yard/config"


def test_no_two_cameras_are_one_device() -> None:
    words = ["a", "b", "a_b", "b_a", "_a", "a_", "a-b", "_", "__", "a_b_a"]
    prefixes = [*words, "a/b", "b/a", "a/b_a"]
    devices = [Topics(p, n, "ha").device(c) for p, n, c in product(prefixes, words, words)]
    assert len(set(devices)) == len(devices)
    assert all("/" not in device for device in devices)
