"""The node's state arrives or is sent again; nothing piles up meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from fake_node import JPEG, FakeNode, camera_state
from peers.waiting import until

from streamsr.core.events import Code, Event
from streamsr.core.settings import MqttSettings
from streamsr.core.status import StreamState
from streamsr.mqtt.node_snapshot import NodeSnapshot
from streamsr.mqtt.state_publisher import StatePublisher
from streamsr.mqtt.topics import ParsedTopic, TopicKind, Topics

TOPICS = Topics("streamsr", "node", "homeassistant")
STATE, EVENT, METRICS = TOPICS.state("yard"), TOPICS.event("yard"), TOPICS.metrics("yard")
BIRTH = ParsedTopic(TopicKind.BIRTH)


class FakeBroker:
    """Takes messages while it is open."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int, bool]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.subscribed: list[str] = []
        self.waiting = False  # it is being sent something

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        self.waiting = not self.open.is_set()
        await self.open.wait()
        self.sent.append((topic, payload, qos, retain))

    async def subscribe(self, topic: list[tuple[str, int]]) -> object:
        self.subscribed += [name for name, _ in topic]
        return None

    def count(self, topic: str) -> int:
        return [sent[0] for sent in self.sent].count(topic)


def sent_numbers(broker: FakeBroker) -> list[int]:
    """The numbers in the events of the node, as they were sent."""
    topic = TOPICS.event(None)
    messages = [json.loads(sent[1])["message"] for sent in broker.sent if sent[0] == topic]
    return [int(message.removeprefix("event ")) for message in messages]


def publisher_of(
    node: FakeNode,
    jpegs: dict[str, bytes] | None = None,
    *,
    interval_s: float = 1.0,
    discovery_form: str = "device",
    **waits: Any,
) -> StatePublisher:
    changes = {"interval_s": interval_s, "discovery_form": discovery_form}
    settings = MqttSettings(host="x").model_copy(update=changes)
    snapshot = NodeSnapshot(node, lambda reason: None)
    snapshot.jpegs = jpegs or {}
    return StatePublisher(settings, TOPICS, snapshot, **({"settle_s": 0.0} | waits))


@asynccontextmanager
async def connected(publisher: StatePublisher, broker: FakeBroker) -> AsyncIterator[None]:
    publisher.reset()
    task = asyncio.create_task(publisher.run(broker))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_is_sent_and_how() -> None:
    broker, publisher = FakeBroker(), publisher_of(FakeNode(), {"yard": JPEG, "gone": JPEG})
    publisher.event(Event(Code.SRC_UP, "yard", "there it is"))
    async with connected(publisher, broker):
        await until(lambda: broker.count(METRICS))
        assert [(topic, qos, retain) for topic, _, qos, retain in broker.sent] == [
            (STATE, 1, True),
            (TOPICS.discovery("yard"), 1, True),
            (TOPICS.availability, 1, True),  # after what it stands for, before what is large
            (TOPICS.snapshot("yard"), 1, True),
            (EVENT, 1, False),
            (METRICS, 0, False),
        ]


async def test_state_is_sent_at_once_when_it_changes_and_only_then() -> None:
    broker, node = FakeBroker(), FakeNode()
    publisher = publisher_of(node, interval_s=0.1, poll_s=30.0)
    async with connected(publisher, broker):
        await until(lambda: broker.count(METRICS) == 3)
        assert broker.count(STATE) == 1
        node.states["yard"] = camera_state(state=StreamState.DOWN)
        publisher.changed()
        await until(lambda: broker.count(STATE) == 2, within_s=5)  # not after the 30 s of a poll


async def test_a_change_is_found_without_being_told() -> None:
    broker, node = FakeBroker(), FakeNode()
    async with connected(publisher_of(node, interval_s=30.0, poll_s=0.05), broker):
        await until(lambda: broker.count(STATE) == 1)
        node.states["yard"] = camera_state(state=StreamState.DOWN)
        await until(lambda: broker.count(STATE) == 2, within_s=5)


async def test_a_broker_that_takes_nothing_costs_nothing() -> None:
    broker, node = FakeBroker(), FakeNode()
    publisher = publisher_of(node)
    async with connected(publisher, broker):
        await until(lambda: broker.count(STATE))
        broker.open.clear()
        before = len(broker.sent)
        for number in range(2_000):
            node.states["yard"] = camera_state(input=f"{number}x180")
            publisher.event(Event(Code.SRC_TIME, f"camera{number % 20}", "other"))
            publisher.changed()
            await asyncio.sleep(0)
        broker.open.set()
        await until(lambda: any(b"1999x180" in payload for _, payload, _, _ in broker.sent))
        await until(lambda: broker.count(TOPICS.event(None)) == 20)
        assert len(broker.sent) - before <= 20 + 8


async def test_while_a_broker_is_away_the_newest_of_each_kind_of_each_subject_waits() -> None:
    broker, publisher = FakeBroker(), publisher_of(FakeNode())
    publisher.event(Event(Code.SRC_DOWN, "yard", "away"))
    publisher.event(Event(Code.OUT_DOWN, "yard", "refused", "rtsp-1"))
    publisher.event(Event(Code.OUT_DOWN, "yard", "refused", "rtmp-2"))
    for number in range(10_000):
        publisher.event(Event(Code.OVERLOAD, f"camera{number % 50}", "event 0"))
    publisher.event(Event(Code.SRC_UP, "yard", "there it is"))
    async with connected(publisher, broker):
        await until(lambda: broker.count(METRICS))  # which are sent after events
        told = [json.loads(sent[1]) for sent in broker.sent if sent[0] == EVENT]
        assert [(e["subject"], e["code"], e["between"]) for e in told] == [
            ("yard/rtsp-1", "OUT_DOWN", []),
            ("yard/rtmp-2", "OUT_DOWN", []),
            ("yard", "SRC_UP", ["SRC_DOWN"]),
        ]
        assert broker.count(TOPICS.event(None)) == 50


async def test_what_waited_is_told_once_others_had_time_to_come_back() -> None:
    broker, publisher = FakeBroker(), publisher_of(FakeNode(), settle_s=0.6)
    publisher.event(Event(Code.SRC_DOWN, "yard", "away"))
    async with connected(publisher, broker):
        await until(lambda: broker.count(STATE))
        assert await until(lambda: broker.count(EVENT)) > 0.3
        publisher.event(Event(Code.SRC_UP, "yard", "there it is"))
        assert await until(lambda: broker.count(EVENT) == 2) < 0.6


async def test_an_event_that_comes_while_one_is_sent_takes_no_other_along() -> None:
    broker, publisher = FakeBroker(), publisher_of(FakeNode())
    async with connected(publisher, broker):
        await until(lambda: broker.count(METRICS))
        broker.open.clear()
        publisher.event(Event(Code.SRC_DOWN, "first", "event 0"))
        await until(lambda: broker.waiting)
        for number in range(1, 40):
            publisher.event(Event(Code.SRC_DOWN, f"camera{number}", f"event {number}"))
        broker.open.set()
        await until(lambda: broker.count(TOPICS.event(None)) == 40)
        assert sent_numbers(broker) == list(range(40))


async def test_the_next_connection_gets_all_again_and_what_did_not_arrive() -> None:
    publisher, first, second = publisher_of(FakeNode()), FakeBroker(), FakeBroker()
    async with connected(publisher, first):
        await until(lambda: first.count(METRICS))
        first.open.clear()
        publisher.event(Event(Code.SRC_DOWN, "yard", "away"))
        await until(lambda: first.waiting)
    async with connected(publisher, second):
        await until(lambda: second.count(EVENT))
        assert second.count(STATE) == second.count(TOPICS.availability) == 1


async def test_discovery_is_sent_again_seldom_however_often_home_assistant_starts() -> None:
    broker = FakeBroker()
    publisher = publisher_of(FakeNode(), discovery_s=0.8)
    async with connected(publisher, broker):
        await until(lambda: broker.count(STATE))
        for _ in range(1000):
            publisher.receive(BIRTH, TOPICS.birth, b"online", retained=False)
            publisher.changed()
            await asyncio.sleep(0)
        await until(lambda: broker.count(TOPICS.discovery("yard")) == 2)
        publisher.receive(BIRTH, TOPICS.birth, b"online", retained=False)
        publisher.changed()
        again_s = await until(lambda: broker.count(TOPICS.discovery("yard")) == 3)
        assert again_s > 0.4  # not before the 0.8 s since the last time are over


async def test_a_camera_s_own_retained_state_is_left_as_it_is() -> None:
    broker, publisher = FakeBroker(), publisher_of(FakeNode())
    own, gone = ParsedTopic(TopicKind.STATE, "yard"), ParsedTopic(TopicKind.STATE, "gone")
    async with connected(publisher, broker):
        publisher.receive(own, STATE, b"{}", retained=True)
        publisher.receive(gone, TOPICS.state("gone"), b"{}", retained=True)
        await until(lambda: broker.count(TOPICS.snapshot("gone")))
        cleared = {topic for topic, payload, _, _ in broker.sent if payload == b""}
        assert cleared == set(TOPICS.retained("gone"))


async def test_the_other_form_and_earlier_runs_leave_nothing_behind() -> None:
    broker, publisher = FakeBroker(), publisher_of(FakeNode(), discovery_form="components")
    stale = TOPICS.component("switch", "yard", "no_more")
    kept = TOPICS.component("switch", "yard", "enable")
    gone = ParsedTopic(TopicKind.STATE, "gone")
    found = ParsedTopic(TopicKind.DISCOVERY)
    async with connected(publisher, broker):
        await until(lambda: broker.subscribed == ["homeassistant/+/streamsr_node_yard/+/config"])
        publisher.receive(found, stale, b"{}", retained=True)
        publisher.receive(found, kept, b"{}", retained=True)
        publisher.receive(gone, TOPICS.state("gone"), b"{}", retained=True)
        await until(lambda: "homeassistant/+/streamsr_node_gone/+/config" in broker.subscribed)
        other = TOPICS.component("sensor", "gone", "fps")
        publisher.receive(found, other, b"{}", retained=True)
        publisher.changed()
        await until(lambda: broker.count(other))
        cleared = {topic for topic, payload, _, _ in broker.sent if payload == b""}
        assert {stale, other, TOPICS.discovery("yard")} < cleared
        assert kept not in cleared


async def test_discovery_stays_as_it_was_while_the_models_cannot_be_listed() -> None:
    broker, node = FakeBroker(), FakeNode()
    publisher = publisher_of(node)
    async with connected(publisher, broker):
        await until(lambda: broker.count(STATE))
        node.damage = "model x: its card is damaged"
        node.states["yard"] = camera_state(input="640x360")
        publisher.changed()
        await until(lambda: broker.count(STATE) == 2)
    assert broker.count(TOPICS.discovery("yard")) == 1


async def test_a_camera_that_comes_back_with_other_outputs_has_those_alone() -> None:
    broker, node = FakeBroker(), FakeNode("yard", "gate")
    publisher = publisher_of(node, interval_s=30.0, poll_s=0.02)

    def found() -> bytes:
        return next(p for t, p, *_ in reversed(broker.sent) if t == TOPICS.discovery("gate"))

    async with connected(publisher, broker):
        await until(lambda: broker.count(TOPICS.discovery("gate")) == 1)
        assert b"rtsp-1" in found()
        gate = node.states.pop("gate")
        await until(lambda: found() == b"")
        node.states["gate"] = replace(gate, outputs={})
        await until(lambda: found() != b"")
        assert b"rtsp-1" not in found()
