"""docs/recipes.md is run: its blocks, with their addresses replaced by those of peers."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from peers import RtmpServer, RtspServer, camera_clip
from peers.certificates import Authority
from peers.mosquitto import free_port
from peers.waiting import until

from streamsr.core.config import parse
from streamsr.core.deadline import Deadline
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import NodeSettings, PipelineSettings
from streamsr.core.status import OutputState, StreamState
from streamsr.node.node import Node

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
PUBLISHER = ROOT / "tests" / "peers" / "whip_publisher.py"
TOKEN = "a-token-of-the-recipes-page"
CHEAP = {"name": "bicubic", "device": "cpu"}
SHOWN = ("-v", "error", "-of", "json", "-show_entries", "stream=codec_name,width,height")
pytestmark = pytest.mark.usefixtures("require_players")


def recipe(heading: str) -> dict[str, Any]:
    """The settings of streamsr that stand below a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```toml\n(.*?)```", section, re.S)
    return tomllib.loads(block)


@asynccontextmanager
async def running(data: Mapping[str, Any], folder: Path) -> AsyncIterator[tuple[Node, str]]:
    """A node of a recipe's only stream, made small, and what its server listens at."""
    (stream,) = data["streams"]
    small = {"model": CHEAP, "output": {"size": "320x180"}}
    (folder / "token").write_text(TOKEN)
    serve = {"listen": "127.0.0.1:0", "token_file": str(folder / "token")}
    settings = parse({"serve": serve, "streams": [stream | small]}, NodeSettings, "recipes")
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    node = Node(settings, logged_journal())
    run = asyncio.create_task(node.run(listening.set_result))
    try:
        url = await listening
        await until(lambda: stream["name"] in node.served)
        yield node, url
    finally:
        node.stop(Deadline.after())
        await run


def shown(where: str | Path) -> dict[str, tuple[int | None, int | None]]:
    """What ffprobe sees of each codec there."""
    command = ["ffprobe", *SHOWN, str(where)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    streams = json.loads(done.stdout)["streams"]
    return {s["codec_name"]: (s.get("width"), s.get("height")) for s in streams}


def link(folder: Path, url: str, path: str) -> str:
    """A link that expires, as `streamsr link` prints it."""
    file = folder / "node.toml"
    file.write_text(f'[serve]\ntoken_file = "{folder / "token"}"\n[input]\nurl = "demo"\n')
    command = [sys.executable, "-m", "streamsr", "link", str(file), path, "--at", url.rstrip("/")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()[0]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for whoever VLC runs as."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def vlc(*arguments: str | Path, home: Path) -> subprocess.Popen[bytes]:
    """VLC, which does not run as root."""
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*(user if os.geteuid() == 0 else []), "cvlc", "-q", *map(str, arguments)]
    return subprocess.Popen(
        command, env=os.environ | {"HOME": str(home)}, stderr=subprocess.DEVNULL
    )


@contextmanager
def published(address: str, clip: Path, folder: Path) -> Iterator[None]:
    """A clip that FFmpeg publishes by WHIP, as OBS does."""
    certificate, key = Authority(folder).sign()
    command = [sys.executable, PUBLISHER, address, clip, certificate, key, TOKEN]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


async def test_mediamtx_is_published_to_over_rtsp_and_rtmp(
    rtsp_server: RtspServer, rtmp_server: RtmpServer, tmp_path: Path
) -> None:
    data = recipe("MediaMTX")
    (stream,) = data["streams"]
    servers = {"mediamtx": rtsp_server.url(), "by-rtmp": rtmp_server.url()}
    assert [place["name"] for place in stream["publish"]] == list(servers)
    stream["input"]["url"] = "demo"
    stream["publish"] = [{"name": name, "url": url} for name, url in servers.items()]
    async with running(data, tmp_path) as (node, _):
        outputs = node.served["gate"].outputs
        await until(lambda: [o.state for o in outputs()] == [OutputState.UP] * 2, 60)
        found = await asyncio.to_thread(shown, rtmp_server.url())
        await until(lambda: bool(rtsp_server.files()), 20)
    assert found["h264"] == (320, 180)
    assert "aac" in found
    assert (await asyncio.to_thread(shown, rtsp_server.files()[0]))["h264"] == (320, 180)


async def test_obs_publishes_by_whip_and_a_link_is_played(tmp_path: Path, home: Path) -> None:
    """FFmpeg in OBS's place; ffprobe and VLC play what became of it, by a link that expires."""
    clip = camera_clip(tmp_path / "clip.mp4")
    async with running(recipe("OBS"), tmp_path) as (node, url):
        with published(f"{url}whip/desk", clip, tmp_path):
            status = node.served["desk"].status
            await until(lambda: status().state is StreamState.LIVE, 60)
            playlist = await asyncio.to_thread(link, tmp_path, url, "/hls/desk/index.m3u8")
            found = await asyncio.to_thread(shown, playlist)
            assert found["h264"] == (320, 180)
            sink = f"#std{{access=file,mux=ts,dst={home / 'seen.ts'}}}"
            stop = ("--run-time", "8", "--play-and-exit")
            player = vlc(*stop, "--sout", sink, playlist, "vlc://quit", home=home)
            assert await asyncio.to_thread(player.wait, 60) == 0
    assert (await asyncio.to_thread(shown, home / "seen.ts"))["h264"] == (320, 180)


@pytest.mark.serial
async def test_vlc_sends_what_streamsr_reads(tmp_path: Path, home: Path) -> None:
    clip, port = camera_clip(home / "clip.mp4"), free_port()
    sink = f"#std{{access=http,mux=ts,dst=127.0.0.1:{port}/desk}}"
    source = recipe("VLC")["input"] | {"url": f"http://127.0.0.1:{port}/desk"}
    sender = vlc("--loop", "--sout", sink, clip, home=home)
    try:
        async with running({"streams": [{"name": "desk", "input": source}]}, tmp_path) as (node, _):
            status = node.served["desk"].status
            await until(lambda: status().frames_out > 50, 60)
            assert (status().input, status().audio) == ("320x180", True)
    finally:
        sender.kill()
        sender.wait()


def test_every_recipe_of_streamsr_says_its_size() -> None:
    for heading in ("Frigate", "go2rtc", "MediaMTX", "OBS"):
        (stream,) = recipe(heading)["streams"]
        assert stream["output"]["size"], heading
    parse(recipe("VLC"), PipelineSettings, "recipes")
