"""MQTT and Home Assistant see a camera once, wherever it runs."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest
from gateway_site import running_site
from peers.mosquitto import HOST, MOSQUITTO_INSTALL, Mosquitto, free_port, mosquitto_path
from peers.waiting import until

DEMO = {"input": {"url": "demo"}, "model": {"name": "bicubic"}, "output": {"scale": 1.0}}
EVENT = "streamsr/fleet/gate/event"
STATE, ENABLE = "streamsr/fleet/gate/state", "streamsr/fleet/gate/enable/set"


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    if mosquitto_path() is None:
        pytest.skip(f"mosquitto is not installed: {MOSQUITTO_INSTALL}")
    with Mosquitto() as found:
        yield found


async def test_a_camera_is_one_device_through_a_move(broker: Mosquitto, tmp_path: Path) -> None:
    last: dict[str, bytes] = {}

    async def listen(client: aiomqtt.Client) -> None:
        await client.subscribe("#")
        async for message in client.messages:
            last[str(message.topic)] = bytes(message.payload)  # type: ignore[arg-type]

    def state() -> str:
        return str(json.loads(last.get(STATE, b"{}")).get("state"))

    nowhere = [{"url": f"rtmp://127.0.0.1:{free_port()}/live/gate"}]
    streams = [{"name": "gate", "publish": nowhere} | DEMO, {"name": "yard"} | DEMO]
    mqtt = {"host": HOST, "port": broker.port, "image_s": 0}
    async with (
        aiomqtt.Client(HOST, broker.port) as client,
        running_site(tmp_path, "north", "south", streams=streams, mqtt=mqtt) as (site, _),
    ):
        listening = asyncio.create_task(listen(client))
        await until(lambda: state() == "live", 60)
        await until(lambda: EVENT in last, 30)
        assert json.loads(last[EVENT])["code"] == "OUT_DOWN"
        devices = {topic for topic in last if topic.endswith("/config") and last[topic]}
        assert len([topic for topic in devices if "gate" in topic]) == 1
        other = next(name for name in site.hosts if name != site.camera("gate").host)
        site.controller.move("gate", other)
        await until(lambda: state() != "live", 30)
        await until(lambda: state() == "live" and site.camera("gate").host == other, 60)
        assert {topic for topic in last if topic.endswith("/config") and last[topic]} == devices
        await client.publish(ENABLE, b"OFF")
        await until(lambda: state() == "disabled", 30)
        (gate,) = [camera for camera in site.controller.wanted.cameras if camera.name == "gate"]
        assert gate.settings["enabled"] is False, "wherever it goes"
        listening.cancel()
        await asyncio.wait({listening})
