"""A node at a real broker: what it says, what it obeys, and what it survives."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import pytest
from peers.certificates import Authority
from peers.mosquitto import HOST, Mosquitto, free_port
from peers.waiting import until
from village import JPEG, Village, a_camera
from watcher import Watcher

from streamsr.core.events import Code, Event
from streamsr.core.settings import MqttSettings
from streamsr.mqtt import MqttClient, publisher

Brokers = Callable[..., Mosquitto]
ROOT = "streamsr/node"
YARD = f"{ROOT}/yard"
CONFIG = "homeassistant/device/streamsr_node_yard/config"
CANARY = "p@ss/w%rd:#1"
LAG_S = 1.0  # a loop that waits for a broker is late by seconds


def settings_for(port: int, **changes: Any) -> MqttSettings:
    return MqttSettings(host=HOST, port=port, **{"interval_s": 1.0, **changes})


@asynccontextmanager
async def running(
    broker: Mosquitto | int, node: Village, **changes: Any
) -> AsyncIterator[tuple[MqttClient, list[Event]]]:
    """A node at the broker, stopped in the end; with the events that control had itself."""
    port = broker if isinstance(broker, int) else broker.port
    own: list[Event] = []

    def emit(event: Event) -> None:
        own.append(event)
        mqtt.event(event)

    mqtt = MqttClient(settings_for(port, **changes), "node", node, emit)
    task = asyncio.create_task(mqtt.run(), name="mqtt")
    try:
        yield mqtt, own
        assert not task.done(), "it ended by itself"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("mqtt")]


@asynccontextmanager
async def lag_below(limit_s: float) -> AsyncIterator[list[float]]:
    """Fails if the loop is ever late by more; gives the latenesses."""
    late_s: list[float] = []

    async def measure() -> None:
        while True:
            began_s = monotonic()
            await asyncio.sleep(0.01)
            late_s.append(monotonic() - began_s - 0.01)

    task = asyncio.create_task(measure(), name="lag")
    try:
        yield late_s
    finally:
        task.cancel()
    assert max(late_s) <= limit_s


def everything(watcher: Watcher, *names: str) -> Callable[[], bool]:
    """Whether all that a node keeps at the broker has come, whole and online."""

    def come() -> bool:
        topics = [f"{ROOT}/{name}/state" for name in names]
        topics += [f"homeassistant/device/streamsr_node_{name}/config" for name in names]
        online = watcher.last.get(f"{ROOT}/availability") == b"online"
        return online and all(watcher.last.get(topic) for topic in topics)

    return come


async def test_state_metrics_and_availability(broker: Brokers) -> None:
    at = broker()
    async with running(at, Village("yard", "door")), Watcher(at) as watcher:
        await until(everything(watcher, "yard", "door"))
        await until(lambda: f"{ROOT}/door/metrics" in watcher.last)
        assert watcher.json(f"{YARD}/state") == {
            "state": "live",
            "enabled": True,
            "model": "fast",
            "wanted": "fast",
            "input": "320x180",
            "output": "1280x720",
            "recording": False,
            "loses": False,
            "outputs": {"rtsp://***@10.0.0.2/yard": "up"},
        }
        assert watcher.json(f"{ROOT}/door/metrics") == {
            "fps": 25.0,
            "latency_ms": {"p50": 80.0, "p99": 120.5},
            "frames_in": 100,
            "frames_out": 90,
            "frames_dropped": 10,
            "dropped_by": {"late": 7, "full": 3},
            "reconnects": 2,
            "self_check_gain_db": None,
        }
    async with Watcher(at) as late:
        await until(lambda: late.last.get(f"{ROOT}/availability") == b"offline")
        assert late.json(f"{YARD}/state")["state"] == "live"  # kept
        assert f"{YARD}/metrics" not in late.last  # not kept


async def test_state_is_sent_when_it_changes_and_only_then(
    broker: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "POLL_S", 30.0)
    at, node = broker(), Village()
    async with running(at, node, interval_s=5) as (mqtt, _), Watcher(at) as watcher:
        await until(everything(watcher, "yard"))
        await until(lambda: len(watcher.payloads(f"{YARD}/metrics")) >= 2)
        assert len(watcher.payloads(f"{YARD}/state")) <= 2  # live and kept, it may come twice
        node.present["yard"] = a_camera(state="down", fps=float("nan"), latency_p99_ms=None)
        mqtt.changed()
        took_s = await until(lambda: watcher.json(f"{YARD}/state")["state"] == "down")
        assert took_s < 3  # not at the next look
        await until(lambda: watcher.json(f"{YARD}/metrics")["fps"] is None)


async def test_home_assistant_discovers_all_and_again_when_it_starts(broker: Brokers) -> None:
    at = broker()
    async with running(at, Village()), Watcher(at) as watcher:
        await until(everything(watcher, "yard"))
        components = watcher.json(CONFIG)["components"]
        platforms = {key: entity["platform"] for key, entity in components.items()}
        assert platforms["enable"] == platforms["record"] == "switch"
        assert platforms["model"] == "select"
        assert platforms["snapshot"] == "image"
        assert platforms["live"] == "binary_sensor"
        before = len(watcher.payloads(CONFIG))
        await watcher.say("homeassistant/status", "online")
        await until(lambda: len(watcher.payloads(CONFIG)) > before)
    async with running(at, Village(), discovery=False), Watcher(at) as watcher:
        await until(lambda: watcher.last.get(f"{ROOT}/availability") == b"online")


async def test_every_entity_works_by_what_it_was_discovered_with(broker: Brokers) -> None:
    at, node = broker(), Village()
    async with running(at, node), Watcher(at) as watcher:
        await until(everything(watcher, "yard"))
        parts = watcher.json(CONFIG)["components"]
        await watcher.say(parts["enable"]["command_topic"], "OFF")
        await until(lambda: watcher.json(f"{YARD}/state")["enabled"] is False)
        assert watcher.json(f"{YARD}/state")["state"] == "disabled"
        await watcher.say(parts["enable"]["command_topic"], "ON")
        await until(lambda: watcher.json(f"{YARD}/state")["enabled"] is True)
        await watcher.say(parts["record"]["command_topic"], "ON")
        await until(lambda: watcher.json(f"{YARD}/state")["recording"] is True)
        await watcher.say(parts["model"]["command_topic"], "edvr-m")
        await until(lambda: watcher.json(f"{YARD}/state")["model"] == "edvr-m")
        await watcher.say(
            parts["take_snapshot"]["command_topic"], parts["take_snapshot"]["payload_press"]
        )
        await until(lambda: watcher.last.get(parts["snapshot"]["image_topic"]) == JPEG)
    async with Watcher(at) as late:
        await until(lambda: late.last.get(f"{YARD}/snapshot") == JPEG)


@pytest.mark.parametrize(
    ("topic", "payload", "said_at", "words"),
    [
        ("yard/enable", "perhaps", "yard/event", "enable: got 'perhaps', allowed ON, OFF"),
        ("yard/model", "huge", "yard/event", "model: got 'huge', allowed broken, edvr-m, fast"),
        ("yard/model", b"\xff\xfe", "yard/event", "model: got 2 bytes, allowed UTF-8"),
        ("yard/model", b"x" * 300, "yard/event", "model: got 300 bytes, allowed 256"),
        ("yard/explode", "ON", "yard/event", "command: got 'explode', allowed enable"),
        ("attic/enable", "ON", "event", "camera: got 'attic', allowed door, yard"),
        ("door/record", "ON", "door/event", "record: no recorder is configured"),
        ("yard/model", "broken", "yard/event", "model: model broken: the weights at rtsp://***@x"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_reason(
    broker: Brokers, topic: str, payload: bytes | str, said_at: str, words: str
) -> None:
    at, node = broker(), Village("yard", "door")
    node.present["door"] = a_camera("door", recording=None)
    async with running(at, node) as (_, own), Watcher(at) as watcher:
        await until(everything(watcher, "yard", "door"))
        await watcher.say(f"{ROOT}/{topic}/set", payload)
        await until(lambda: watcher.events(f"{ROOT}/{said_at}", "CMD_REFUSED"))
        (event,) = watcher.events(f"{ROOT}/{said_at}", "CMD_REFUSED")
        assert words in event["message"]
        assert set(event) == {"code", "message", "time"}
        assert event["time"].endswith("Z")
        assert [e.code for e in own].count(Code.CMD_REFUSED) == 1


async def test_retained_commands_are_ignored(broker: Brokers) -> None:
    at, node = broker(), Village()
    async with Watcher(at) as watcher:
        await watcher.say(f"{YARD}/enable/set", "OFF", retain=True)
        await watcher.say(f"{YARD}/model/set", b"\xff", retain=True)
        async with running(at, node) as (_, own):
            await until(everything(watcher, "yard"))
            await watcher.say(f"{YARD}/record/set", "ON")
            await until(lambda: node.orders)
            assert node.orders == [("yard", "record", True)]
            assert [event.code for event in own] == [Code.MQTT_UP]


async def test_a_command_that_takes_long_holds_nothing_up(broker: Brokers) -> None:
    at, node = broker(), Village("yard", "door")
    node.hurdle.clear()
    async with running(at, node) as (mqtt, _), Watcher(at) as watcher:
        await until(everything(watcher, "yard", "door"))
        await watcher.say(f"{YARD}/model/set", "edvr-m")
        await until(lambda: node.orders)
        for payload in ("ON", "OFF", "ON"):
            await watcher.say(f"{ROOT}/door/enable/set", payload)
        await watcher.say(f"{ROOT}/door/enable/set", "OFF")
        await watcher.say(f"{YARD}/model/set", "nonsense")
        await until(lambda: watcher.events(f"{YARD}/event", "CMD_REFUSED"))
        node.present["door"] = a_camera("door", state="down")
        mqtt.changed()
        await until(lambda: watcher.json(f"{ROOT}/door/state")["state"] == "down")
        node.hurdle.set()
        await until(lambda: len(node.orders) == 2)
        assert node.orders == [("yard", "model", "edvr-m"), ("door", "enable", False)]


async def test_events_go_to_their_camera_or_to_the_node(broker: Brokers) -> None:
    at = broker()
    async with running(at, Village()) as (mqtt, _), Watcher(at) as watcher:
        await until(everything(watcher, "yard"))
        for _ in range(50):
            mqtt.event(Event(Code.MODEL_FALLBACK, "yard", "too slow: bicubic runs"))
        mqtt.event(
            Event(Code.MODEL_RESTORED, "yard", f"rtsp://admin:{CANARY}@cam/1 is quick again")
        )
        mqtt.event(Event(Code.CONFIG_RELOADED, "", "the node runs by its changed file"))
        await until(lambda: watcher.events(f"{ROOT}/event", "CONFIG_RELOADED"))
        assert len(watcher.events(f"{YARD}/event", "MODEL_FALLBACK")) == 1
        (event,) = watcher.events(f"{YARD}/event", "MODEL_RESTORED")
        assert event["message"] == "rtsp://***@cam/1 is quick again"


async def test_cameras_come_and_go_with_all_they_left(broker: Brokers) -> None:
    at, node = broker(), Village("yard", "door")
    async with running(at, node), Watcher(at) as watcher:
        await until(everything(watcher, "yard", "door"))
        await watcher.say(f"{ROOT}/door/snapshot/set", "PRESS")
        await until(lambda: watcher.last.get(f"{ROOT}/door/snapshot") == JPEG)
        del node.present["door"]
        node.present["roof"] = a_camera("roof")
        await until(everything(watcher, "yard", "roof"))
        gone = ["state", "snapshot"]
        await until(lambda: all(watcher.last[f"{ROOT}/door/{topic}"] == b"" for topic in gone))
        config = "homeassistant/device/streamsr_node_door/config"
        await until(lambda: watcher.last[config] == b"")
        await watcher.say(f"{ROOT}/roof/enable/set", "OFF")
        await until(lambda: node.orders[-1] == ("roof", "enable", False))


async def test_what_an_earlier_run_left_is_cleared(broker: Brokers) -> None:
    at = broker()
    async with Watcher(at) as watcher:
        async with running(at, Village("yard", "door")):
            await until(everything(watcher, "yard", "door"))
        async with running(at, Village("yard")):
            topics = [f"{ROOT}/door/state", "homeassistant/device/streamsr_node_door/config"]
            await until(lambda: all(watcher.last[topic] == b"" for topic in topics))
            await until(everything(watcher, "yard"))


async def test_what_others_write_over_ours_is_set_right(broker: Brokers) -> None:
    at = broker()
    async with running(at, Village()), Watcher(at) as watcher:
        await until(everything(watcher, "yard"))
        await watcher.say(f"{ROOT}/availability", "offline", retain=True)
        await watcher.say(f"{YARD}/state", b"", retain=True)
        await until(lambda: watcher.last[f"{YARD}/state"] == b"")
        await until(everything(watcher, "yard"))


async def test_the_will_is_said_when_the_connection_is_cut(broker: Brokers) -> None:
    at = broker()
    code = (
        "import asyncio, sys; sys.path.insert(0, 'tests/control')\n"
        "from streamsr.mqtt import MqttClient; from streamsr.core.settings import MqttSettings\n"
        "from village import Village\n"
        f"settings = MqttSettings(host={HOST!r}, port={at.port})\n"
        "async def main(): await MqttClient(settings, 'node', Village()).run()\n"
        "asyncio.run(main())"
    )
    async with Watcher(at) as watcher:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        try:
            await until(everything(watcher, "yard"), 20)
        finally:
            process.kill()
            await process.wait()
        await until(lambda: watcher.last[f"{ROOT}/availability"] == b"offline")


async def test_a_broker_that_comes_late_gets_all(require_mosquitto: None) -> None:
    port, node = free_port(), Village()
    async with running(port, node) as (mqtt, own), lag_below(LAG_S):
        await until(lambda: own)
        assert own[0].code is Code.MQTT_DOWN
        for number in range(100):
            mqtt.event(Event(Code.SRC_DOWN, f"camera{number}", "away"))
        await asyncio.sleep(2)  # tries fail meanwhile
        assert [event.code for event in own] == [Code.MQTT_DOWN]
        assert not mqtt.connected
        with Mosquitto(port=port) as at:
            async with Watcher(at) as watcher:
                took_s = await until(everything(watcher, "yard"))
                assert mqtt.connected
                await until(lambda: watcher.events(f"{ROOT}/event", "MQTT_UP"))
                assert len(watcher.events(f"{ROOT}/event", "SRC_DOWN")) == 31
    print(f"\nonline {took_s:.1f} s after the broker came")  # noqa: T201


@pytest.mark.parametrize("persistent", [False, True])
async def test_a_broker_that_was_killed_gets_all_again(broker: Brokers, persistent: bool) -> None:
    at, node = broker(persistent=persistent), Village("yard", "door")
    async with running(at, node) as (mqtt, own), lag_below(LAG_S):
        async with Watcher(at) as watcher:
            await until(everything(watcher, "yard", "door"))
            await watcher.say(f"{YARD}/snapshot/set", "PRESS")
            await until(lambda: watcher.last.get(f"{YARD}/snapshot") == JPEG)
        at.kill()
        await until(lambda: not mqtt.connected, 2)
        await until(lambda: own[-1].code is Code.MQTT_DOWN)
        node.present["yard"] = a_camera(state="down", model="bicubic")
        mqtt.event(Event(Code.SRC_DOWN, "yard", "the camera is away"))
        del node.present["door"]
        await asyncio.sleep(1.5)
        at.start()
        async with Watcher(at) as watcher:
            took_s = await until(everything(watcher, "yard"))
            assert watcher.json(f"{YARD}/state")["state"] == "down"
            await until(lambda: watcher.last.get(f"{YARD}/snapshot") == JPEG)
            await until(lambda: watcher.events(f"{YARD}/event", "SRC_DOWN"))
            assert not watcher.last.get(f"{ROOT}/door/state")
            await watcher.say(f"{YARD}/enable/set", "OFF")
            await until(lambda: node.orders[-1] == ("yard", "enable", False))
    print(f"\nonline {took_s:.1f} s after the broker came back")  # noqa: T201


async def test_a_frozen_broker_is_noticed_and_all_is_sent_when_it_thaws(broker: Brokers) -> None:
    at, node = broker(), Village()
    async with running(at, node, keepalive_s=2) as (mqtt, own), lag_below(LAG_S):
        async with Watcher(at) as watcher:
            await until(everything(watcher, "yard"))
        at.freeze()
        noticed_s = await until(lambda: not mqtt.connected)
        assert noticed_s < 6.5
        assert own[-1].code is Code.MQTT_DOWN
        node.present["yard"] = a_camera(state="down")
        for _ in range(100):
            mqtt.changed()
        await asyncio.sleep(5.5)  # long enough to give up on a connection that the kernel accepted
        at.thaw()
        took_s = await until(lambda: mqtt.connected)
        async with Watcher(at) as watcher:
            await until(everything(watcher, "yard"))
            assert watcher.json(f"{YARD}/state")["state"] == "down"
            await watcher.say(f"{YARD}/enable/set", "OFF")
            await until(lambda: node.orders)
            await asyncio.sleep(1)
            assert watcher.last[f"{ROOT}/availability"] == b"online"
    print(f"\nnoticed in {noticed_s:.1f} s, back in {took_s:.1f} s")  # noqa: T201


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("met", [False, True], ids=["while_connecting", "connected"])
async def test_stopping_does_not_wait_for_a_frozen_broker(
    broker: Brokers, authority: Authority, tls: bool, met: bool
) -> None:
    certificate, key = authority.sign() if tls else (None, None)
    at = broker(certificate=certificate, key=key)
    more = {"tls": True, "ca_file": authority.certificate} if tls else {}
    if not met:
        at.freeze()
    async with running(at, Village(), **more) as (mqtt, _):
        if met:
            await until(lambda: mqtt.connected)
            at.freeze()
        await asyncio.sleep(0.5)
        began_s = monotonic()
    assert monotonic() - began_s < 3
    await asyncio.get_running_loop().shutdown_default_executor()  # as asyncio.run does
    assert monotonic() - began_s < 4


async def test_a_password(broker: Brokers, tmp_path: Path, caplog: Any) -> None:
    at = broker(user="streamsr", password=CANARY)
    (tmp_path / "password").write_text(f"{CANARY}\nnot this\n")
    login = {"username": "streamsr", "password_file": tmp_path / "password"}
    node = Village()
    node.present["yard"] = replace(a_camera(), outputs={f"the word {CANARY} alone": "up"})
    caplog.set_level(logging.DEBUG)
    async with running(at, node, **login), Watcher(at) as watcher:
        await until(everything(watcher, "yard"))
        await watcher.say(f"{YARD}/model/set", CANARY)
        await until(lambda: watcher.events(f"{YARD}/event", "CMD_REFUSED"))
        said = [payload for topic, payload in watcher.heard if not topic.endswith("/set")]
        assert CANARY.encode() not in b"".join(said)
    assert CANARY not in caplog.text


async def test_a_wrong_password_is_said_once_and_tried_seldom(
    broker: Brokers, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    at = broker(user="streamsr", password=CANARY)
    monkeypatch.setenv("STREAMSR_MQTT_PASSWORD", "Tr0ub4dor&3")
    caplog.set_level(logging.DEBUG)
    async with running(at, Village(), username="streamsr") as (mqtt, own):
        await until(lambda: own)
        await asyncio.sleep(2)
        assert [event.code for event in own] == [Code.MQTT_AUTH]
        assert not mqtt.connected
        assert (Path(at._folder.name) / "log").read_text().count("not authorised") == 1
    assert "Tr0ub4dor" not in caplog.text + own[0].message


async def test_tls_with_the_right_authority(broker: Brokers, authority: Authority) -> None:
    certificate, key = authority.sign()
    at = broker(certificate=certificate, key=key)
    async with running(at, Village(), tls=True, ca_file=authority.certificate) as (mqtt, _):
        await until(lambda: mqtt.connected)
        at.restart()
        await until(lambda: not mqtt.connected)
        await until(lambda: mqtt.connected)


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_tls_refuses_a_certificate_that_is_not_the_broker_s(
    broker: Brokers, authority: Authority, tmp_path: Path, wrong: str
) -> None:
    certificate, key = authority.sign("127.0.0.1" if wrong == "authority" else "127.0.0.2")
    trusted = Authority(tmp_path) if wrong == "authority" else authority
    at = broker(certificate=certificate, key=key)
    async with running(at, Village(), tls=True, ca_file=trusted.certificate) as (mqtt, own):
        await until(lambda: own)
        assert own[0].code is Code.MQTT_DOWN
        assert "certificate verify failed" in own[0].message.lower()
        assert not mqtt.connected


async def test_a_thousand_commands_a_second_and_the_last_one_wins(broker: Brokers) -> None:
    at, node = broker(), Village()
    async with running(at, node), Watcher(at) as watcher, lag_below(LAG_S) as late_s:
        await until(everything(watcher, "yard"))
        node.looks, cpu_s = 0, process_time()
        await watcher.__aexit__(None, None, None)  # it would be flooded too
        await flood(at, "commands", 5)
        cpu_s = process_time() - cpu_s
        await until(lambda: len(node.orders) > 2 and node.orders[-1] == ("yard", "enable", False))
        async with Watcher(at) as after:
            await until(lambda: after.json(f"{YARD}/state").get("enabled") is False)
        assert len(node.orders) <= 14  # half a second apart
        assert node.looks < 100
    print(f"\nlag {max(late_s) * 1e3:.0f} ms, {cpu_s / 5:.1%} of a core")  # noqa: T201


async def test_ten_thousand_garbage_messages_do_no_harm(broker: Brokers) -> None:
    at, node = broker(), Village()
    async with running(at, node) as (_, own), Watcher(at) as watcher, lag_below(LAG_S) as late_s:
        await until(everything(watcher, "yard"))
        await watcher.__aexit__(None, None, None)
        began_s = monotonic()
        await flood(at, "garbage", 10_000)
        await until(lambda: own[-1].message.endswith("allowed broken, edvr-m, fast"))
        took_s = monotonic() - began_s
        assert len(own) == 10_002  # each refused, and the connection held
        async with Watcher(at) as after:
            await after.say(f"{YARD}/record/set", "ON")
            await until(lambda: after.json(f"{YARD}/state").get("recording") is True)
        assert node.orders == [("yard", "record", True)]
    print(f"\nlag {max(late_s) * 1e3:.0f} ms, taken in {took_s:.1f} s")  # noqa: T201


async def test_garbage_gives_one_event_a_second(broker: Brokers) -> None:
    at = broker()
    async with running(at, Village()), Watcher(at) as watcher:
        await until(everything(watcher, "yard"))
        for _ in range(200):
            await watcher.say(f"{YARD}/enable/set", b"\x00")
        await asyncio.sleep(0.3)
        assert len(watcher.events(f"{YARD}/event", "CMD_REFUSED")) == 1


async def test_by_itself_it_logs_and_publishes_its_own_events(
    broker: Brokers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("streamsr"), "propagate", True)
    at = broker()
    mqtt = MqttClient(settings_for(at.port), "node", Village())
    task = asyncio.create_task(mqtt.run())
    async with Watcher(at) as watcher:
        await until(lambda: watcher.events(f"{ROOT}/event", "MQTT_UP"))
        await watcher.say(f"{YARD}/enable/set", "maybe")
        await until(lambda: watcher.events(f"{YARD}/event", "CMD_REFUSED"))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert caplog.messages == [
        f"MQTT_UP [mqtt] broker {HOST}:{at.port}: connected",
        "CMD_REFUSED [yard] enable: got 'maybe', allowed ON, OFF",
    ]


async def flood(at: Mosquitto, *words: Any) -> None:
    script = Path(__file__).with_name("flood.py")
    command = [str(word) for word in (script, at.port, *words)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    assert await process.wait() == 0
