"""A node at a real broker that is away, hangs, refuses, lies, or floods."""

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from fake_node import JPEG, FakeNode, camera_state
from peers import TcpProxy
from peers.certificates import Authority
from peers.mosquitto import Mosquitto, free_port
from peers.waiting import until
from running_client import CANARY, ROOT, YARD, complete, lag_below, running
from soak import counts, figure
from subscriber import Subscriber

from streamsr.core.deadline import Deadline
from streamsr.core.events import Code, Event
from streamsr.core.status import OutputState, OutputStatus, StreamState

Brokers = Callable[..., Mosquitto]


async def test_a_broker_that_comes_late_gets_all(require_mosquitto: None) -> None:
    port = free_port()
    async with running(port, FakeNode()) as mqtt, lag_below():
        await until(lambda: mqtt.events)
        assert mqtt.events[0].code is Code.MQTT_DOWN
        for number in range(100):
            mqtt.client.event(Event(Code.SRC_DOWN, f"camera{number}", "away"))
        await until(lambda: mqtt.backoff.failed >= 10)
        assert [event.code for event in mqtt.events] == [Code.MQTT_DOWN]
        assert not mqtt.client.connected
        with Mosquitto(port=port) as at:
            async with Subscriber(at) as subscriber:
                await until(complete(subscriber, "yard"))
                assert mqtt.client.connected
                await until(lambda: subscriber.events(f"{ROOT}/event", "MQTT_UP"))
                assert len(subscriber.events(f"{ROOT}/event", "SRC_DOWN")) == 100


@pytest.mark.parametrize("persistent", [False, True])
async def test_a_broker_that_was_killed_gets_all_again(broker: Brokers, persistent: bool) -> None:
    at, node = broker(persistent=persistent), FakeNode("yard", "door")
    async with running(at, node) as mqtt, lag_below():
        async with Subscriber(at) as subscriber:
            await until(complete(subscriber, "yard", "door"))
            await subscriber.publish(f"{YARD}/snapshot/set", "PRESS")
            await until(lambda: subscriber.last.get(f"{YARD}/snapshot") == JPEG)
        at.kill()
        await until(lambda: not mqtt.client.connected, 2)
        await until(lambda: mqtt.events[-1].code is Code.MQTT_DOWN)
        node.states["yard"] = camera_state(state=StreamState.DOWN, model="bicubic")
        mqtt.client.event(Event(Code.SRC_DOWN, "yard", "the camera is away"))
        del node.states["door"]
        await until(lambda: mqtt.backoff.failed >= 3)
        at.start()
        async with Subscriber(at) as subscriber:
            await until(complete(subscriber, "yard"))
            assert subscriber.json(f"{YARD}/state")["state"] == "down"
            await until(lambda: subscriber.last.get(f"{YARD}/snapshot") == JPEG)
            await until(lambda: subscriber.events(f"{YARD}/event", "SRC_DOWN"))
            await until(lambda: not subscriber.last.get(f"{ROOT}/door/state"))
            await subscriber.publish(f"{YARD}/enable/set", "OFF")
            await until(lambda: node.commands[-1] == ("yard", "enable", False))


@pytest.mark.serial
async def test_a_frozen_broker_is_noticed_and_gets_all_when_it_thaws(broker: Brokers) -> None:
    at, node = broker(), FakeNode()
    async with running(at, node, keepalive_s=1, answer_s=0.3) as mqtt, lag_below():
        async with Subscriber(at) as subscriber:
            await until(complete(subscriber, "yard"))
        at.freeze()
        noticed_s = await until(lambda: not mqtt.client.connected)
        assert noticed_s < 4.5  # after two keepalives, to the next of paho's looks each second
        await until(lambda: mqtt.events[-1].code is Code.MQTT_DOWN)
        node.states["yard"] = camera_state(state=StreamState.DOWN)
        # it gives up on connections that the kernel alone accepted
        await until(lambda: mqtt.backoff.failed >= 3)
        assert "no answer in time" in mqtt.events[-1].message
        at.thaw()
        await until(lambda: mqtt.client.connected)
        async with Subscriber(at) as subscriber:
            await until(complete(subscriber, "yard"))
            assert subscriber.json(f"{YARD}/state")["state"] == "down"
            await subscriber.publish(f"{YARD}/enable/set", "OFF")
            await until(lambda: node.commands)
            await until(complete(subscriber, "yard"))


@pytest.mark.serial
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("met", [False, True], ids=["while_connecting", "connected"])
async def test_a_stop_ends_at_its_deadline_though_the_broker_is_frozen(
    broker: Brokers, authority: Authority, tls: bool, met: bool
) -> None:
    certificate, key = authority.sign() if tls else (None, None)
    at = broker(certificate=certificate, key=key)
    more: dict[str, Any] = {"tls": True, "ca_file": authority.certificate} if tls else {}
    if not met:
        at.freeze()
    async with running(at, FakeNode(), **more) as mqtt:
        if met:
            await until(lambda: mqtt.client.connected)
            at.freeze()
        await asyncio.sleep(0.2)  # it is in the middle of connecting, or of publishing
        began_s = monotonic()
        await mqtt.client.stop(Deadline.after(0.5))
        assert monotonic() - began_s < 1.0  # twice that: the machine may be busy
    await asyncio.get_running_loop().shutdown_default_executor()  # as asyncio.run does
    assert monotonic() - began_s < 2.0


async def test_a_password(broker: Brokers, tmp_path: Path, caplog: Any) -> None:
    at = broker(user="streamsr", password=CANARY)
    (tmp_path / "password").write_text(f"{CANARY}\nnot this\n")
    login: dict[str, Any] = {"username": "streamsr", "password_file": tmp_path / "password"}
    node = FakeNode()
    node.states["yard"] = replace(
        camera_state(),
        outputs={"x": OutputStatus("x", f"the word {CANARY} alone", OutputState.UP)},
    )
    caplog.set_level(logging.DEBUG)
    async with running(at, node, **login), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        await subscriber.publish(f"{YARD}/model/set", CANARY)
        await until(lambda: subscriber.events(f"{YARD}/event", "CMD_REFUSED"))
        published = [data for topic, data in subscriber.received if not topic.endswith("/set")]
        assert CANARY.encode() not in b"".join(published)
    assert CANARY not in caplog.text


async def test_a_password_is_read_again_at_each_connection(
    broker: Brokers, tmp_path: Path, caplog: Any
) -> None:
    at, file = broker(user="streamsr", password="the-old-one"), tmp_path / "password"
    file.write_text("the-old-one")
    async with running(at, FakeNode(), username="streamsr", password_file=file) as mqtt:
        await until(lambda: mqtt.client.connected)
        file.write_text("")  # as while it is written
        at.restart()
        await until(lambda: len(mqtt.events) >= 3)
        assert mqtt.client.connected
        assert caplog.text.count("what was read before is used") == 1
        at.kill()
        at.password = "the-new-one"
        file.write_text("the-new-one")
        at.start()
        await until(lambda: len(mqtt.events) >= 5)
        told = [event.code for event in mqtt.events]
    assert told == [Code.MQTT_UP, *[Code.MQTT_DOWN, Code.MQTT_UP] * 2]


async def test_a_wrong_password_is_reported_once_and_tried_seldom(
    broker: Brokers, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    at = broker(user="streamsr", password=CANARY)
    monkeypatch.setenv("STREAMSR_MQTT_PASSWORD", "Tr0ub4dor&3")
    caplog.set_level(logging.DEBUG)
    with TcpProxy(at.port) as proxy:
        async with running(proxy.port, FakeNode(), username="streamsr") as mqtt:
            await until(lambda: mqtt.events)
            await asyncio.sleep(0.3)  # ten times what it waits between other tries
            assert [event.code for event in mqtt.events] == [Code.MQTT_AUTH]
            assert not mqtt.client.connected
            assert proxy.connections == 1
    assert "Tr0ub4dor" not in caplog.text + mqtt.events[0].message


async def test_tls_with_the_right_authority(broker: Brokers, authority: Authority) -> None:
    certificate, key = authority.sign()
    at = broker(certificate=certificate, key=key)
    async with running(at, FakeNode(), tls=True, ca_file=authority.certificate) as mqtt:
        await until(lambda: mqtt.client.connected)
        at.restart()
        await until(lambda: [event.code for event in mqtt.events][1:] == [Code.MQTT_DOWN])
        await until(lambda: mqtt.client.connected)


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_tls_refuses_a_certificate_that_is_not_the_broker_s(
    broker: Brokers, authority: Authority, tmp_path: Path, wrong: str
) -> None:
    certificate, key = authority.sign("127.0.0.1" if wrong == "authority" else "127.0.0.2")
    trusted = Authority(tmp_path) if wrong == "authority" else authority
    at = broker(certificate=certificate, key=key)
    async with running(at, FakeNode(), tls=True, ca_file=trusted.certificate) as mqtt:
        await until(lambda: mqtt.events)
        assert mqtt.events[0].code is Code.MQTT_DOWN
        assert "certificate verify failed" in mqtt.events[0].message.lower()
        assert not mqtt.client.connected


@pytest.mark.serial
@counts(2, 30)
async def test_of_a_thousand_commands_a_second_the_last_wins(broker: Brokers, count: int) -> None:
    at, node, seconds = broker(), FakeNode(), count
    async with running(at, node), lag_below():
        async with Subscriber(at) as subscriber:  # which would be flooded too
            await until(complete(subscriber, "yard"))
        node.reads = 0
        begun_s = monotonic()
        await flood(at, "commands", seconds)
        await until(lambda: len(node.commands) > 2)
        await until(lambda: node.commands[-1] == ("yard", "enable", False))
        async with Subscriber(at) as subscriber:
            await until(lambda: subscriber.json(f"{YARD}/state").get("enabled") is False)
        took_s = monotonic() - begun_s
        assert len(node.commands) <= 2 * took_s + 4  # half a second apart
        assert node.reads < 20 * took_s
    figure("a flood of commands", f"{1000 * seconds}: {len(node.commands)} carried out")


@pytest.mark.serial
async def test_ten_thousand_garbage_messages_do_no_harm(broker: Brokers) -> None:
    at, node = broker(), FakeNode()
    async with running(at, node) as mqtt, lag_below():
        async with Subscriber(at) as subscriber:  # which would be flooded too
            await until(complete(subscriber, "yard"))
        await flood(at, "garbage", 10_000)
        await until(lambda: mqtt.events[-1].message.endswith("allowed broken, edvr-m, fast"))
        assert len(mqtt.events) == 10_002  # each refused, and the connection held
        async with Subscriber(at) as subscriber:
            await subscriber.publish(f"{YARD}/record/set", "ON")
            await until(lambda: subscriber.json(f"{YARD}/state").get("recording") is True)
        assert node.commands == [("yard", "record", True)]


async def test_garbage_gives_one_event_a_second(broker: Brokers) -> None:
    at = broker()
    async with running(at, FakeNode()) as mqtt, Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        for _ in range(200):
            await subscriber.publish(f"{YARD}/enable/set", b"\x00")
        mqtt.client.event(Event(Code.CONFIG_RELOADED, "", "comes after all that"))
        await until(lambda: subscriber.events(f"{ROOT}/event", "CONFIG_RELOADED"))
        assert len(subscriber.events(f"{YARD}/event", "CMD_REFUSED")) == 1


async def flood(at: Mosquitto, kind: str, amount: int) -> None:
    script = Path(__file__).with_name("flood.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(at.port), kind, str(amount)
    )
    assert await process.wait() == 0
