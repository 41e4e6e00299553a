"""A node at a real broker: what it publishes, and the commands it carries out."""

import asyncio
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fake_node import JPEG, FakeNode, camera_state
from peers.mosquitto import HOST, Mosquitto
from peers.waiting import until
from running_client import CANARY, CONFIG, ROOT, YARD, complete, running
from subscriber import Subscriber

from streamsr.core.events import Code, Event
from streamsr.core.status import StreamState

QUOTED = "p%40ssw%23rd"
Brokers = Callable[..., Mosquitto]
WELL = {"code": "", "reason": "", "since": "", "doing": ""}


async def test_state_metrics_and_availability(broker: Brokers) -> None:
    at = broker()
    async with running(at, FakeNode("yard", "door")), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard", "door"))
        await until(lambda: f"{ROOT}/door/metrics" in subscriber.last)
        assert subscriber.json(f"{YARD}/state") == {
            "state": "live",
            **WELL,
            "had_frame": False,
            "enabled": True,
            "model": "fast",
            "wanted": "fast",
            "size": "auto",
            "input": "320x180",
            "output": "1280x720",
            "recording": False,
            "loses": False,
            "outputs": {
                "rtsp-1": {"state": "up", "target": "rtsp://***@10.0.0.2/yard", **WELL},
            },
        }
        assert subscriber.json(f"{ROOT}/door/metrics") == {
            "fps": 25.0,
            "latency_ms": {"p50": 80.0, "p99": 120.5},
            "frames_in": 100,
            "frames_out": 90,
            "frames_dropped": 10,
            "dropped_by": {"late": 7, "full": 3},
            "reconnects": 2,
            "self_check_gain_db": None,
            "disk_free_gb": None,
        }
    async with Subscriber(at) as late:
        await until(lambda: late.last.get(f"{ROOT}/availability") == b"offline")
        assert late.json(f"{YARD}/state")["state"] == "live"  # retained
        assert f"{YARD}/metrics" not in late.last  # not retained


async def test_changes_are_published(broker: Brokers) -> None:
    at, node = broker(), FakeNode()
    async with running(at, node, interval_s=0.2), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        await until(lambda: len(subscriber.payloads(f"{YARD}/metrics")) >= 2)
        assert len(subscriber.payloads(f"{YARD}/state")) <= 2  # live and retained
        node.states["yard"] = camera_state(
            state=StreamState.DOWN, fps=float("nan"), latency_p99_ms=None
        )
        await until(lambda: subscriber.json(f"{YARD}/state")["state"] == "down")
        await until(lambda: subscriber.json(f"{YARD}/metrics")["fps"] is None)


async def test_home_assistant_discovers_all_and_again_when_it_starts(broker: Brokers) -> None:
    at = broker()
    async with running(at, FakeNode()), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        components = subscriber.json(CONFIG)["components"]
        platforms = {key: entity["platform"] for key, entity in components.items()}
        assert platforms["enable"] == platforms["record"] == "switch"
        assert platforms["model"] == "select"
        assert platforms["snapshot"] == "image"
        assert platforms["live"] == "binary_sensor"
        before = len(subscriber.payloads(CONFIG))
        await subscriber.publish("homeassistant/status", "online")
        await until(lambda: len(subscriber.payloads(CONFIG)) > before)
    async with running(at, FakeNode(), discovery=False), Subscriber(at) as subscriber:
        await until(lambda: subscriber.last.get(f"{ROOT}/availability") == b"online")


async def test_every_entity_works_by_what_it_was_discovered_with(broker: Brokers) -> None:
    at, node = broker(), FakeNode()
    async with running(at, node), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        parts = subscriber.json(CONFIG)["components"]
        await subscriber.publish(parts["enable"]["command_topic"], "OFF")
        await until(lambda: subscriber.json(f"{YARD}/state")["enabled"] is False)
        assert subscriber.json(f"{YARD}/state")["state"] == "disabled"
        await subscriber.publish(parts["enable"]["command_topic"], "ON")
        await until(lambda: subscriber.json(f"{YARD}/state")["enabled"] is True)
        await subscriber.publish(parts["record"]["command_topic"], "ON")
        await until(lambda: subscriber.json(f"{YARD}/state")["recording"] is True)
        await subscriber.publish(parts["model"]["command_topic"], "edvr-m")
        await until(lambda: subscriber.json(f"{YARD}/state")["model"] == "edvr-m")
        await subscriber.publish(
            parts["take_snapshot"]["command_topic"], parts["take_snapshot"]["payload_press"]
        )
        await until(lambda: subscriber.last.get(parts["snapshot"]["image_topic"]) == JPEG)
    async with Subscriber(at) as late:
        await until(lambda: late.last.get(f"{YARD}/snapshot") == JPEG)


@pytest.mark.parametrize(
    ("topic", "payload", "event_topic", "message"),
    [
        ("yard/enable", "perhaps", "yard/event", "enable: got 'perhaps', allowed ON, OFF"),
        ("yard/model", "huge", "yard/event", "model: got 'huge', allowed broken, edvr-m, fast"),
        ("yard/model", b"\xff\xfe", "yard/event", "model: got 2 bytes, allowed UTF-8"),
        ("yard/model", b"x" * 300, "yard/event", "model: got 300 bytes, allowed 256"),
        ("yard/explode", "ON", "yard/event", "command: got 'explode', allowed change, enable"),
        ("attic/enable", "ON", "event", "camera: got 'attic', allowed door, yard"),
        ("door/record", "ON", "door/event", "record: no recorder is configured"),
        ("yard/model", "broken", "yard/event", "model: model broken: the weights at rtsp://***@x"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_reason(
    broker: Brokers, topic: str, payload: bytes | str, event_topic: str, message: str
) -> None:
    at, node = broker(), FakeNode("yard", "door")
    node.states["door"] = camera_state("door", recording=None)
    async with running(at, node) as mqtt, Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard", "door"))
        await subscriber.publish(f"{ROOT}/{topic}/set", payload)
        await until(lambda: subscriber.events(f"{ROOT}/{event_topic}", "CMD_REFUSED"))
        (event,) = subscriber.events(f"{ROOT}/{event_topic}", "CMD_REFUSED")
        assert message in event["message"]
        assert event["subject"] == event_topic.rpartition("/")[0]
        assert event["time"].endswith("Z")
        assert [e.code for e in mqtt.events].count(Code.CMD_REFUSED) == 1


async def test_images_come_at_an_interval_of_cameras_that_are_live(broker: Brokers) -> None:
    at, node = broker(), FakeNode("yard", "door")
    node.states["door"] = camera_state("door", state=StreamState.DOWN)
    async with running(at, node, image_s=0.2), Subscriber(at) as subscriber:
        await until(lambda: subscriber.last.get(f"{YARD}/snapshot") == JPEG)
        await until(lambda: len(node.commands) >= 3)
        assert set(node.commands) == {("yard", "snapshot", "")}


async def test_a_size_and_a_self_check_are_commands_too(broker: Brokers) -> None:
    at, node = broker(), FakeNode()
    async with running(at, node), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        await subscriber.publish(f"{YARD}/size/set", "1080p")
        await until(lambda: subscriber.json(f"{YARD}/state")["size"] == "1080p")
        await subscriber.publish(f"{YARD}/self_check/set", "PRESS")
        await until(lambda: subscriber.json(f"{YARD}/metrics").get("self_check_gain_db") == 1.5)
        await subscriber.publish(f"{YARD}/size/set", "auto")
        await until(lambda: node.commands[-1] == ("yard", "size", ""))


async def test_cameras_are_added_changed_and_removed(broker: Brokers) -> None:
    at, node = broker(), FakeNode()
    async with running(at, node), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        new = f'{{"name": "gate", "url": "rtsp://me:{QUOTED}@10.0.0.9/live"}}'
        await subscriber.publish(f"{ROOT}/add/set", new)
        await until(complete(subscriber, "yard", "gate"))
        await subscriber.publish(f"{ROOT}/add/set", new)
        await until(lambda: subscriber.events(f"{ROOT}/gate/event", "CMD_REFUSED"))
        await subscriber.publish(f"{ROOT}/gate/change/set", '{"model": "edvr-m"}')
        await until(lambda: subscriber.json(f"{ROOT}/gate/state")["wanted"] == "edvr-m")
        await subscriber.publish(f"{ROOT}/remove/set", "gate")
        await until(lambda: subscriber.last.get(f"{ROOT}/gate/state") == b"")
        said = [data for topic, data in subscriber.received if not topic.endswith("/set")]
        assert QUOTED.encode() not in b"".join(said)


async def test_the_space_left_for_recordings_is_published(broker: Brokers, tmp_path: Path) -> None:
    at, node = broker(), FakeNode()
    node.states["yard"] = replace(node.states["yard"], folder=tmp_path)
    async with running(at, node, interval_s=0.2), Subscriber(at) as subscriber:
        await until(lambda: subscriber.json(f"{YARD}/metrics").get("disk_free_gb"))
        free_gb = subscriber.json(f"{YARD}/metrics")["disk_free_gb"]
        assert abs(free_gb - shutil.disk_usage(tmp_path).free / 1e9) < 5


async def test_retained_commands_are_ignored(broker: Brokers) -> None:
    at, node = broker(), FakeNode()
    async with Subscriber(at) as subscriber:
        await subscriber.publish(f"{YARD}/enable/set", "OFF", retain=True)
        await subscriber.publish(f"{YARD}/model/set", b"\xff", retain=True)
        async with running(at, node) as mqtt:
            await until(complete(subscriber, "yard"))
            await subscriber.publish(f"{YARD}/record/set", "ON")
            await until(lambda: node.commands)
            assert node.commands == [("yard", "record", True)]
            assert [event.code for event in mqtt.events] == [Code.MQTT_UP]


async def test_a_command_that_takes_long_holds_nothing_up(broker: Brokers) -> None:
    at, node = broker(), FakeNode("yard", "door")
    node.switch_allowed.clear()
    async with running(at, node), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard", "door"))
        await subscriber.publish(f"{YARD}/model/set", "edvr-m")
        await until(lambda: node.commands)
        for payload in ("ON", "OFF", "ON", "OFF"):
            await subscriber.publish(f"{ROOT}/door/enable/set", payload)
        await subscriber.publish(f"{YARD}/model/set", "nonsense")
        await until(lambda: subscriber.events(f"{YARD}/event", "CMD_REFUSED"))
        node.states["door"] = camera_state("door", state=StreamState.DOWN)
        await until(lambda: subscriber.json(f"{ROOT}/door/state")["state"] == "down")
        node.switch_allowed.set()
        await until(lambda: len(node.commands) == 2)
        assert node.commands == [("yard", "model", "edvr-m"), ("door", "enable", False)]


async def test_events_go_to_their_camera_or_to_the_node(broker: Brokers) -> None:
    at = broker()
    async with running(at, FakeNode()) as mqtt, Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        mqtt.client.event(Event(Code.MODEL_FALLBACK, "yard", "too slow: bicubic runs"))
        await until(lambda: subscriber.events(f"{YARD}/event", "MODEL_FALLBACK"))
        mqtt.client.event(
            Event(Code.MODEL_RESTORED, "yard", f"rtsp://admin:{CANARY}@cam/1 is quick again")
        )
        mqtt.client.event(Event(Code.CONFIG_RELOADED, "", "the node runs by its changed file"))
        await until(lambda: subscriber.events(f"{ROOT}/event", "CONFIG_RELOADED"))
        (event,) = subscriber.events(f"{YARD}/event", "MODEL_RESTORED")
        assert event["message"] == "rtsp://***@cam/1 is quick again"


async def test_cameras_come_and_go_with_all_they_retained(broker: Brokers) -> None:
    at, node = broker(), FakeNode("yard", "door")
    async with running(at, node), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard", "door"))
        await subscriber.publish(f"{ROOT}/door/snapshot/set", "PRESS")
        await until(lambda: subscriber.last.get(f"{ROOT}/door/snapshot") == JPEG)
        del node.states["door"]
        node.states["roof"] = camera_state("roof")
        await until(complete(subscriber, "yard", "roof"))
        gone = [f"{ROOT}/door/state", f"{ROOT}/door/snapshot"]
        gone.append("homeassistant/device/streamsr_node_door/config")
        await until(lambda: all(subscriber.last[topic] == b"" for topic in gone))
        await subscriber.publish(f"{ROOT}/roof/enable/set", "OFF")
        await until(lambda: node.commands[-1] == ("roof", "enable", False))


async def test_what_an_earlier_run_retained_is_cleared(broker: Brokers) -> None:
    at = broker()
    async with Subscriber(at) as subscriber:
        async with running(at, FakeNode("yard", "door")):
            await until(complete(subscriber, "yard", "door"))
        async with running(at, FakeNode("yard")):
            topics = [f"{ROOT}/door/state", "homeassistant/device/streamsr_node_door/config"]
            await until(lambda: all(subscriber.last[topic] == b"" for topic in topics))
            await until(complete(subscriber, "yard"))


async def test_what_others_write_over_our_topics_is_set_right(broker: Brokers) -> None:
    at = broker()
    async with running(at, FakeNode()), Subscriber(at) as subscriber:
        await until(complete(subscriber, "yard"))
        await subscriber.publish(f"{ROOT}/availability", "offline", retain=True)
        await subscriber.publish(f"{YARD}/state", b"", retain=True)
        await until(lambda: subscriber.last[f"{YARD}/state"] == b"")
        await until(complete(subscriber, "yard"))


async def test_a_killed_node_is_offline_by_its_last_will(broker: Brokers) -> None:
    at = broker()
    code = (
        f"import asyncio, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from streamsr.mqtt.client import MqttClient\n"
        "from streamsr.core.settings import MqttSettings\n"
        "from fake_node import FakeNode\n"
        f"settings = MqttSettings(host={HOST!r}, port={at.port})\n"
        "async def main(): await MqttClient(settings, 'node', FakeNode(), print).run()\n"
        "asyncio.run(main())"
    )
    async with Subscriber(at) as subscriber:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            await until(complete(subscriber, "yard"))
        finally:
            process.kill()
            await process.wait()
        await until(lambda: subscriber.last[f"{ROOT}/availability"] == b"offline")


async def test_a_cancelled_client_is_offline_by_its_last_will(broker: Brokers) -> None:
    at = broker()
    async with Subscriber(at) as subscriber, running(at, FakeNode()) as mqtt:
        await until(complete(subscriber, "yard"))
        mqtt.task.cancel()
        with suppress(asyncio.CancelledError):
            await mqtt.task
        await until(lambda: subscriber.last[f"{ROOT}/availability"] == b"offline")


async def test_the_client_needs_neither_torch_nor_a_codec() -> None:
    heavy = "{'torch', 'numpy', 'av', 'cv2'}"
    code = f"import sys, streamsr.mqtt.client; sys.exit(', '.join({heavy} & sys.modules.keys()))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE
    )
    _, imported = await process.communicate()
    assert imported.strip() == b""
