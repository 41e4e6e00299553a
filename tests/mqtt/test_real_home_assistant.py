"""A real Home Assistant finds a real node over a real broker, shows it and steers it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from peers.home_assistant import HASS_INSTALL, HomeAssistant, hass_path
from peers.mosquitto import HOST, Mosquitto, free_port
from peers.waiting import until

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(hass_path() is None, reason=f"no Home Assistant: {HASS_INSTALL}"),
]
ROOT = Path(__file__).parents[2]
ENTITIES = {
    "binary_sensor.house_yard_live",
    "binary_sensor.house_yard_output_hls",
    "binary_sensor.house_yard_output_rtsp_1",
    "binary_sensor.house_yard_problem",
    "binary_sensor.house_yard_worse_than_bicubic",
    "button.house_yard_self_check",
    "button.house_yard_take_snapshot",
    "camera.house_yard",
    "image.house_yard_snapshot",
    "select.house_yard_model",
    "select.house_yard_size",
    "sensor.house_yard_dropped_frames",
    "sensor.house_yard_frame_rate",
    "sensor.house_yard_free_on_the_disk",
    "sensor.house_yard_gain_over_bicubic",
    "sensor.house_yard_input_size",
    "sensor.house_yard_latency_p99",
    "sensor.house_yard_output_size",
    "sensor.house_yard_reason",
    "sensor.house_yard_reconnects",
    "sensor.house_yard_running_model",
    "switch.house_yard_enabled",
    "switch.house_yard_recording",
}


@contextmanager
def node(folder: Path, broker: Mosquitto, port: int) -> Iterator[Path]:
    """A node of two cameras, one of which is away, and its log."""
    file, log = folder / "node.toml", folder / "log"
    file.write_text(
        f"""
        name = "house"
        [serve]
        listen = "{HOST}:{port}"
        [mqtt]
        host = "{HOST}"
        port = {broker.port}
        discovery_form = "components"
        page_url = "http://{HOST}:{port}"
        interval_s = 1.0
        image_s = 1.0
        [[streams]]
        name = "yard"
        input = {{ url = "demo" }}
        model = {{ name = "bicubic" }}
        publish = [{{ url = "rtsp://{HOST}:1/live" }}]
        hls = {{ folder = "{folder}/hls" }}
        record = {{ folder = "{folder}/video", enabled = false, min_free_gb = 0.0 }}
        [[streams]]
        name = "gate"
        input = {{ url = "rtsp://{HOST}:1/cam" }}
        model = {{ name = "bicubic" }}
        """
    )
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "run_stream.py", "node", str(file)],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


async def test_home_assistant_finds_shows_and_steers_a_node(
    tmp_path: Path, broker: Callable[..., Mosquitto]
) -> None:
    at, port = broker(), free_port()
    live = {"yard live": f"http://{HOST}:{port}/hls/yard/index.m3u8"}
    with (
        node(tmp_path, at, port),
        HomeAssistant(tmp_path / "ha", free_port(), at.port, live) as home,
    ):

        def state(entity: str) -> Any:
            return home.states().get(entity, {}).get("state")

        await until(lambda: home.states().keys() >= ENTITIES, 90)
        await until(lambda: state("binary_sensor.house_yard_live") == "on", 60)
        await until(lambda: state("sensor.house_yard_output_size") == "1280x720")
        assert state("select.house_yard_model") == "bicubic"
        assert state("select.house_yard_size") == "auto"
        await until(lambda: state("sensor.house_yard_free_on_the_disk") != "unknown")
        assert float(state("sensor.house_yard_free_on_the_disk")) > 0

        await until(lambda: state("binary_sensor.house_yard_output_hls") == "on")
        assert state("binary_sensor.house_yard_output_rtsp_1") == "off"
        busy = "the device is slower than the source"
        assert state("sensor.house_yard_reason").startswith(("all is well", busy))
        await until(lambda: "nothing listens" in state("sensor.house_gate_reason"), 60)
        reason = home.states()["sensor.house_gate_reason"]["attributes"]
        assert (reason["code"], reason["had_frame"]) == ("SRC_DOWN", False)
        assert reason["since"].endswith("Z")
        assert state("binary_sensor.house_gate_problem") == "on"

        shown = [home.get("/api/camera_proxy/camera.house_yard")]
        assert shown[0].startswith(b"\xff\xd8")
        await until(lambda: home.get("/api/camera_proxy/camera.house_yard") != shown[0], 10)
        attributes = home.states()["camera.house_yard"]["attributes"]
        assert attributes["go2rtc"] == f"webrtc:http://{HOST}:{port}/whep/yard"

        home.call("select.select_option", "select.house_yard_model", option="lanczos")
        await until(lambda: state("select.house_yard_model") == "lanczos")
        await until(lambda: state("sensor.house_yard_running_model") == "lanczos")
        home.call("select.select_option", "select.house_yard_size", option="1080p")
        await until(lambda: state("sensor.house_yard_output_size") == "1920x1080", 40)
        home.call("switch.turn_on", "switch.house_yard_recording")
        await until(lambda: state("switch.house_yard_recording") == "on", 30)
        await until(lambda: state("binary_sensor.house_yard_output_record") == "on", 30)

        playlist = await live_playlist(home)
        assert playlist.startswith("#EXTM3U")

        home.call("switch.turn_off", "switch.house_yard_enabled")
        await until(lambda: state("binary_sensor.house_yard_live") == "off", 30)
    log = home.log.read_text()
    assert not [line for line in log.splitlines() if " ERROR " in line and "mqtt" in line]


async def live_playlist(home: HomeAssistant) -> str:
    """The playlist of the video that Home Assistant makes of a generic camera's."""
    address = f"http://{HOST}:{home.port}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{address}/api/websocket") as socket,
    ):
        await socket.receive_json()
        await socket.send_json({"type": "auth", "access_token": home.token})
        await socket.receive_json()
        asked = {"id": 1, "type": "camera/stream", "entity_id": "camera.yard_live"}
        await socket.send_json(asked)
        answer = await socket.receive_json(timeout=60)
        assert answer["success"], answer
        async with session.get(f"{address}{answer['result']['url']}") as response:
            master = await response.text()
            media = next(line for line in master.splitlines() if not line.startswith("#"))
        async with session.get(response.url.join(aiohttp.client.URL(media))) as response:
            text = await response.text()
            assert "#EXTINF" in text or "#EXT-X-PART" in text, text
            return text
