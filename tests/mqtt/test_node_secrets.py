"""Nothing that a node's addresses hide leaves it: log, API, page, metrics, MQTT, or `ps`."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import urlopen

from peers.mosquitto import Mosquitto
from peers.waiting import until
from subscriber import Subscriber

ROOT = Path(__file__).parents[2]
DEAD = "127.0.0.1:1"
CAMERAS = {
    "dvr": f"rtsp://{DEAD}/user=admin_password=Canary01_channel=0_stream=1.sdp",
    "ipcam": f"http://{DEAD}/videostream.cgi?loginuse=admin&loginpas=Canary02",
    "basic": f"rtsp://{DEAD}/live?authbasic=Canary03",
    "oauth": f"rtsp://{DEAD}/live?access_token=Canary04",
    "at": f"rtsp://{DEAD}/x?password=p@Canary05",
    "semicolon": f"rtsp://{DEAD}/cam;pwd=Canary06",
    "raw": f"rtsp://me:a/b#c@Canary07@{DEAD}/x",
    "encoded": f"rtsps://me:%43anary08%2F@{DEAD}/x",
    "jwt": f"rtsp://{DEAD}/eyJhbGciOiJIUzI1.eyJDYW5hcnkwOSI6IjEyMyJ9.Canary09aB3xZ",
    "fragment": f"rtsp://{DEAD}/live#Canary10",
    "told": "${CAMERA_URL}",
    "file": "@{folder}/camera.url",
}
PUBLISHED = [
    f"rtsp://{DEAD}/my?jwt=Canary13",
    f"rtmp://{DEAD}/live/Canary14-aaaa-bbbb",
    f"rtsp://me:Canary15@{DEAD}/my",
]
PAGES = ["/", "/watch/yard", "/api/streams", "/api/streams/dvr", "/api/v1/cameras", "/metrics"]
PAGES += [
    "/api/v1/cameras/dvr",
    "/api/v1/openapi.json",
    "/hls/yard/index.m3u8",
    "/whep/dvr",
    "/no/such?token=x",
]


def stream(name: str, url: str) -> str:
    live = "\ninput.live = true" if url.startswith("http") else ""
    return f'[[streams]]\nname = "{name}"\ninput.url = "{url}"{live}\nmodel.name = "bicubic"\n'


def settings(folder: Path, broker: Mosquitto) -> str:
    cameras = [
        stream(name, url.format(folder=folder)) for name, url in CAMERAS.items() if name != "told"
    ]
    publish = ", ".join(f'{{ url = "{url}" }}' for url in PUBLISHED)
    return (
        f'[serve]\nlisten = "127.0.0.1:0"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        + "".join(cameras)
        + stream("told", CAMERAS["told"])
        + stream("yard", "demo")
        + f'publish = [{publish}]\nhls = {{ folder = "{folder}/hls" }}\n'
        + f'record = {{ folder = "{folder}/video" }}\n'
    )


def answers(base: str) -> Iterator[str]:
    for page in PAGES:
        try:
            with urlopen(base + page, timeout=10) as answer:
                yield answer.read().decode() + str(answer.headers)
        except HTTPError as error:
            yield error.read().decode() + str(error.headers)


def children_of(pid: int) -> Iterator[str]:
    """What anybody may see of them with ``ps``, and their user with ``ps e``."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield Path(f"/proc/{child}/cmdline").read_text()
        yield Path(f"/proc/{child}/environ").read_text(errors="replace")


def canaries(text: str) -> set[str]:
    return set(re.findall(r"(?i)canary\d+", unquote(text)))


class Started:
    """A node's process, its log in a file."""

    def __init__(self, file: Path, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        command = [sys.executable, "run_stream.py", "node", str(file), "--json"]
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> str:
        """Returns what it prints at its end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=20)[0].decode()
        finally:
            self.process.kill()


async def test_no_secret_of_an_address_leaves_a_node(
    tmp_path: Path, broker: Callable[..., Mosquitto]
) -> None:
    server = broker()
    file, state = tmp_path / "node.toml", "streamsr/node/yard/state"
    (tmp_path / "camera.url").write_text(f"rtsp://me:Canary11@{DEAD}/x?y=Canary11\n")
    file.write_text(settings(tmp_path, server))
    url = f"rtsp://{DEAD}/x?sig=Canary12"
    async with Subscriber(server) as subscriber:
        environment = {"CAMERA_URL": url, "STREAMSR_MQTT_PASSWORD": "Canary16-of-mqtt"}
        node = Started(file, tmp_path / "log", environment)
        try:
            await until(lambda: subscriber.json(state).get("state") == "live", 60)
            down = {"rtsp-1", "rtmp-2", "rtsp-3"}

            def are_down() -> bool:
                outputs = subscriber.json(state)["outputs"]
                return {name for name in outputs if outputs[name]["state"] == "down"} == down

            await until(are_down, 30)
            assert subscriber.json(state)["outputs"].keys() == {*down, "hls", "record"}
            await until(lambda: all(f"[{name}" in node.log for name in CAMERAS), 30)
            base = re.search(r"http://127\.0\.0\.1:\d+", node.log)
            assert base is not None
            said = "\n".join(answers(base[0]))
            assert f"rtsp://***@{DEAD}/my" in said, "hosts stay readable"
            seen = "\n".join(children_of(node.process.pid))
            assert "streamsr.worker.main" in seen
            assert "streamsr.outputs.process" in seen
            file.write_text('[[streams]]\ninput.url = "rtsq://me:Canary17@x/y?z=Canary18"\n')
            node.process.send_signal(signal.SIGHUP)
            await until(lambda: "CONFIG_REFUSED" in node.log, 10)
        finally:
            summary = node.stop()
    received = subscriber.received
    told = "\n".join(f"{topic} {payload.decode(errors='replace')}" for topic, payload in received)
    found = {"log": node.log, "HTTP": said, "MQTT": told, "ps": seen, "summary": summary}
    assert {where: canaries(text) for where, text in found.items() if canaries(text)} == {}
