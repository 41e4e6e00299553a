"""A whole node as a user starts it, controlled over a real broker."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch
from peers.mosquitto import Mosquitto
from peers.waiting import until
from subscriber import Subscriber

from streamsr.core.config import dump
from streamsr.core.deadline import STOP_S
from streamsr.networks.facts import Colour
from streamsr.networks.fast import Fast
from streamsr.zoo.card import CARD_NAME, Card, FactsCard, Weights
from streamsr.zoo.weights import write_weights

ROOT = Path(__file__).parents[2]
CANARY = "p@ss/w%rd:#1"
QUOTED = "p%40ss%2Fw%25rd%3A%231"


class Started:
    """A node's process, its file and its log."""

    def __init__(self, folder: Path, broker: Mosquitto, streams: str) -> None:
        self.file = folder / "node.toml"
        self.log = folder / "log"
        self._broker = broker
        self.write(streams)
        environment = os.environ | {"CAM": CANARY, "STREAMSR_MQTT_PASSWORD": broker.password}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "run_stream.py", "node", str(self.file), "--json"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def write(self, streams: str) -> None:
        """Writes the node's file."""
        self.file.write_text(
            f"""
            name = "house"
            [mqtt]
            host = "127.0.0.1"
            port = {self._broker.port}
            username = "me"
            interval_s = 1.0
            {streams}
            """
        )

    def stop(self) -> dict[str, Any]:
        """Sends SIGTERM; returns the summary."""
        self.process.send_signal(signal.SIGTERM)
        began_s = monotonic()
        out, _ = self.process.communicate(timeout=10)
        assert monotonic() - began_s < STOP_S
        assert self.process.returncode == 0
        summary: dict[str, Any] = json.loads(out)
        return summary


@contextmanager
def node(folder: Path, broker: Mosquitto, streams: str) -> Iterator[Started]:
    started = Started(folder, broker, streams)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.communicate()


def stream(name: str, url: str = "demo", more: str = "") -> str:
    return f"""
    [[streams]]
    name = "{name}"
    input.url = "{url}"
    model.name = "bicubic"
    {more}
    """


@pytest.mark.serial
async def test_a_node_is_discovered_watched_and_controlled(
    tmp_path: Path, broker: Callable[..., Mosquitto]
) -> None:
    dead = stream("gate", "rtsp://user:${CAM}@127.0.0.1:9/cam")
    recorded = f'record = {{ folder = "{tmp_path}/video", enabled = false }}'
    server = broker(user="me", password=CANARY)
    async with Subscriber(server) as subscriber:
        with node(tmp_path, server, stream("yard", more=recorded) + dead) as started:
            yard = "streamsr/house/yard"
            await until(lambda: subscriber.json(f"{yard}/state").get("state") == "live", 30)
            assert subscriber.last["streamsr/house/availability"] == b"online"
            found = subscriber.json("homeassistant/device/streamsr_house_yard/config")
            kinds = {component["platform"] for component in found["components"].values()}
            assert {"switch", "select", "sensor", "binary_sensor", "image"} <= kinds
            state = subscriber.json(f"{yard}/state")
            assert (state["input"], state["output"]) == ("320x180", "1280x720")
            await until(lambda: subscriber.json("streamsr/house/gate/state").get("state") == "down")
            await until(lambda: subscriber.json(f"{yard}/metrics").get("fps", 0) > 20, 15)

            await subscriber.publish(f"{yard}/model/set", "lanczos")
            await until(lambda: subscriber.json(f"{yard}/state")["model"] == "lanczos")
            await subscriber.publish(f"{yard}/record/set", "ON")
            await until(lambda: subscriber.json(f"{yard}/state")["recording"])
            await until(lambda: list((tmp_path / "video").glob("yard-*.mp4")))
            await subscriber.publish(f"{yard}/record/set", "OFF")
            await until(lambda: not subscriber.json(f"{yard}/state")["recording"])
            await subscriber.publish(f"{yard}/snapshot/set", "PRESS")
            await until(lambda: f"{yard}/snapshot" in subscriber.last)
            assert subscriber.last[f"{yard}/snapshot"].startswith(b"\xff\xd8")
            await subscriber.publish(f"{yard}/enable/set", "OFF")
            await until(lambda: subscriber.json(f"{yard}/state")["state"] == "disabled")
            await subscriber.publish(f"{yard}/enable/set", "ON")
            await until(lambda: subscriber.json(f"{yard}/state")["state"] == "live")
            await subscriber.publish(f"{yard}/model/set", "bicubik")
            await until(lambda: subscriber.events(f"{yard}/event", "CMD_REFUSED"))

            started.write(stream("yard", more=recorded) + stream("porch"))
            started.process.send_signal(signal.SIGHUP)
            await until(
                lambda: subscriber.json("streamsr/house/porch/state").get("state") == "live"
            )
            assert subscriber.last["streamsr/house/gate/state"] == b""
            started.write(stream("porch", more='input.rate = "fast"'))
            await until(lambda: subscriber.events("streamsr/house/event", "CONFIG_REFUSED"))
            assert subscriber.json(f"{yard}/state")["state"] == "live"
            summary = started.stop()
            await until(lambda: subscriber.last["streamsr/house/availability"] == b"offline")
        published = b"".join(payload for _, payload in subscriber.received)
    assert [s["name"] for s in summary["streams"]] == ["yard", "porch"]
    for secret in (CANARY, QUOTED):
        assert secret.encode() not in published
        assert secret not in started.log.read_text()


async def test_all_is_published_again_after_an_outage_and_the_video_goes_on(
    tmp_path: Path, broker: Callable[..., Mosquitto]
) -> None:
    server = broker(user="me", password="secret-word")
    yard = "streamsr/house/yard"
    with node(tmp_path, server, stream("yard")) as started:
        async with Subscriber(server) as subscriber:
            await until(lambda: subscriber.json(f"{yard}/state").get("state") == "live", 30)
        server.kill()
        await until(lambda: "MQTT_DOWN" in started.log.read_text())
        server.start()
        async with Subscriber(server) as subscriber:
            await until(lambda: subscriber.json(f"{yard}/state").get("state") == "live", 10)
            await until(lambda: subscriber.last.get("streamsr/house/availability") == b"online")
            await until(
                lambda: "homeassistant/device/streamsr_house_yard/config" in subscriber.last
            )
            await subscriber.publish(f"{yard}/model/set", "lanczos")
            await until(lambda: subscriber.json(f"{yard}/state")["model"] == "lanczos")
        (summary,) = started.stop()["streams"]
    assert summary["frames_in"] == summary["frames_out"] + summary["frames_dropped"]
    assert summary["reconnects"] == 0


@pytest.mark.serial
async def test_a_fallback_is_published(tmp_path: Path, broker: Callable[..., Mosquitto]) -> None:
    slow_model(tmp_path / "slow")
    server = broker(user="me", password="secret-word")
    slow = stream("yard").replace('"bicubic"', f'"{tmp_path}/slow"')
    yard = "streamsr/house/yard"
    with node(tmp_path, server, slow) as started:
        async with Subscriber(server) as subscriber:
            await until(lambda: subscriber.events(f"{yard}/event", "MODEL_FALLBACK"), 80)
            (event, *_) = subscriber.events(f"{yard}/event", "MODEL_FALLBACK")
            assert "from slow to bicubic" in event["message"]
            await until(lambda: subscriber.json(f"{yard}/state")["model"] == "bicubic")
            assert subscriber.json(f"{yard}/state")["wanted"] == "slow"
        (summary,) = started.stop()["streams"]
    assert summary["frames_dropped"] > 0
    assert summary["frames_in"] == summary["frames_out"] + summary["frames_dropped"]


def slow_model(folder: Path) -> None:
    """Writes a network of a hundred milliseconds and more a frame, with its initial weights."""
    torch.manual_seed(0)
    folder.mkdir()
    network = Fast(features=96, layers=40, scale=4)
    sha256 = write_weights(folder / "weights.safetensors", network)
    facts = FactsCard(scale=4, window=1, lookahead=0, colour=Colour.LUMA)
    card = Card(
        description="slow",
        network="fast",
        options={"features": 96, "layers": 40, "scale": 4},
        facts=facts,
        weights=Weights(sha256=sha256),
        precision="bfloat16",
    )
    dump(card, folder / CARD_NAME)
