"""Fragments over a WebSocket: to a client that plays them with PyAV, and in a browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from broadcast import INPUT_SIZE, Broadcast
from letting_in import letting_in
from peers import FPS, Studio, coded_frames, seen
from peers.waiting import until
from playwright.async_api import Page

from streamsr.core.packet import Track
from streamsr.core.status import StreamState, StreamStatus
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server
from streamsr.serve.live.feed import CAPACITY, FragmentQueue
from streamsr.serve.live.fmp4 import InitSegment
from streamsr.serve.live.fragmenter import MediaFragment
from streamsr.serve.served import Served


def served(studio: Studio) -> Served:
    status = StreamStatus("cam", StreamState.LIVE, "edvr-s-x4", "cpu", "80x45", "320x180")
    return Served(studio.broadcaster, lambda: status)


@asynccontextmanager
async def site(**studio: object) -> AsyncIterator[tuple[Studio, Server]]:
    async with Studio(**studio) as running, Server({"cam": served(running)}) as server:  # type: ignore[arg-type]
        yield running, server


async def received(socket: aiohttp.ClientWebSocketResponse, count: int) -> tuple[list[str], bytes]:
    """So many binary messages, one after another, and the codecs that were named meanwhile."""
    codecs, data = [], []
    while len(data) < count:
        message = await socket.receive(5)
        if message.type is aiohttp.WSMsgType.TEXT:
            codecs.append(json.loads(message.data)["codecs"])
        else:
            assert message.type is aiohttp.WSMsgType.BINARY, message
            data.append(message.data)
    return codecs, b"".join(data)


async def test_a_viewer_plays_what_it_gets(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with site() as (_studio, server), http.ws_connect(f"{server.url}live/cam") as socket:
        first = await socket.receive(5)
        assert first.type is aiohttp.WSMsgType.TEXT, "the codecs come first"
        assert json.loads(first.data)["codecs"].endswith(",mp4a.40.2")
        _, data = await received(socket, 3 * FPS + 1)
    (tmp_path / "a.mp4").write_bytes(data)
    found = seen(tmp_path / "a.mp4")
    assert found.unbroken
    assert len(found.numbers) == 3 * FPS
    assert found.numbers[0] is not None
    assert found.numbers[0] % FPS == 0, "it begins at a keyframe"
    assert found.offset_s() < 0.05


async def test_the_frames_before_can_be_had_too(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        async with http.ws_connect(f"{server.url}live/camera?track=input") as socket:
            codecs, data = await received(socket, 10)
        assert codecs[0].startswith("avc1.")
        (tmp_path / "a.mp4").write_bytes(data)
        assert seen(tmp_path / "a.mp4").sizes == {INPUT_SIZE}


async def test_viewers_share_one_muxing_which_ends_with_them(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    of = InitSegment.of
    monkeypatch.setattr(InitSegment, "of", lambda *a, **k: made.append(1) or of(*a, **k))
    async with site() as (studio, server):
        assert studio.broadcaster.wanted == set(), "without a viewer there is nothing to do"
        async with (
            http.ws_connect(f"{server.url}live/cam") as one,
            http.ws_connect(f"{server.url}live/cam") as two,
        ):
            await received(one, 2 * FPS)
            await received(two, 2)
            assert len(studio.broadcaster) == 1
            assert studio.broadcaster.wanted == {Track.OUTPUT, Track.AAC}
        await until(lambda: len(studio.broadcaster) == 0)
        assert studio.broadcaster.wanted == set()
        assert len(made) == 1


async def test_another_size_is_told(http: aiohttp.ClientSession) -> None:
    coded_frames(192, 108)
    async with site() as (studio, server), http.ws_connect(f"{server.url}live/cam") as socket:
        await received(socket, 5)
        studio.size = (192, 108)
        studio.speed = 3
        codecs, _ = await received(socket, 2 * FPS)
        assert len(codecs) == 1


async def test_it_ends_with_the_stream_and_with_the_server(http: aiohttp.ClientSession) -> None:
    async with site() as (studio, server):
        async with http.ws_connect(f"{server.url}live/cam") as socket:
            await received(socket, 2)
            studio.broadcaster.close()
            while (message := await socket.receive(5)).type is aiohttp.WSMsgType.BINARY:
                pass
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)
        async with http.get(f"{server.url}live/cam") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [("live/cam", 426), ("live/nothing", 404), ("live/cam?track=x", 400), ("live/", 404)],
)
async def test_what_is_no_websocket_is_refused(
    http: aiohttp.ClientSession, path: str, status: int
) -> None:
    async with site() as (_, server), http.get(f"{server.url}{path}") as response:
        assert response.status == status


async def test_other_sites_and_clients_without_a_token_get_nothing(
    http: aiohttp.ClientSession,
) -> None:
    token = "a-token-of-16-characters"
    async with (
        Studio() as studio,
        Server({"cam": served(studio)}, access=letting_in(token)) as server,
    ):
        address = f"{server.url}live/cam"
        bearer = {"Authorization": f"Bearer {token}"}
        for headers, status in [
            ({}, 401),
            (bearer | {"Origin": "https://elsewhere.example"}, 403),
        ]:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(address, headers=headers)
            assert refused.value.status == status
        async with http.ws_connect(address, headers=bearer) as socket:
            await received(socket, 2)


async def test_there_are_so_many_viewers_and_no_more(http: aiohttp.ClientSession) -> None:
    async with (
        Studio() as studio,
        Server({"cam": served(studio)}, limits=ServerLimits(viewers=1)) as server,
    ):
        address = f"{server.url}live/cam"
        async with http.ws_connect(address), http.ws_connect(address):  # before and after
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(address)
            assert refused.value.status == 503
        await until(lambda: len(studio.broadcaster) == 0)
        async with http.ws_connect(address) as socket:
            await received(socket, 2)


async def test_a_slow_viewer_goes_on_at_a_keyframe() -> None:
    asked = []
    queue = FragmentQueue(lambda: asked.append(1))
    init = InitSegment(b"", "avc1")
    for number in range(CAPACITY + 1):
        queue.offer(MediaFragment(init, b"", number, 1, keyframe=number == 1))
    assert (queue.dropped, asked) == (1, [])
    for number in range(CAPACITY + 1, CAPACITY + 4):
        queue.offer(MediaFragment(init, b"", number, 1, keyframe=number == CAPACITY + 3))
    assert asked == [1]
    assert queue.dropped == 1 + CAPACITY + 2
    assert (await queue.receive()).begins_s == CAPACITY + 3


PLAY = """(path) => new Promise((done, failed) => {
  const video = document.createElement("video");
  const source = new MediaSource();
  video.muted = true;
  video.src = URL.createObjectURL(source);
  document.body.append(video);
  const waiting = [];
  let buffer = null, codecs = "";
  const append = () => {
    if (buffer && !buffer.updating && waiting.length) buffer.appendBuffer(waiting.shift());
  };
  source.addEventListener("sourceopen", () => {
    const socket = new WebSocket(new URL(path, location.href.replace("http", "ws")));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        codecs = JSON.parse(data).codecs;
        buffer = source.addSourceBuffer(`video/mp4; codecs="${codecs}"`);
        buffer.addEventListener("updateend", append);
        return;
      }
      waiting.push(data);
      append();
      if (video.buffered.length && video.paused) {
        video.currentTime = video.buffered.start(0);
        video.play();
      }
      const { totalVideoFrames: shown, droppedVideoFrames: dropped }
        = video.getVideoPlaybackQuality();
      if (video.error) failed(video.error.message);
      if (shown > 50) {
        const behind = video.buffered.end(0) - video.currentTime;
        const { videoWidth: width, webkitAudioDecodedByteCount: heard } = video;
        socket.close();
        done({ shown, dropped, behind, width, heard, codecs, ranges: video.buffered.length });
      }
    };
    socket.onerror = () => failed("the socket failed");
  });
})"""


@pytest.mark.asyncio(loop_scope="session")
async def test_a_browser_plays_it(page: Page) -> None:
    async with site() as (_studio, server):
        await page.goto(f"{server.url}livez")
        played = await page.evaluate(PLAY, "live/cam")
    assert played["width"] == 320
    assert played["heard"] > 0
    assert played["ranges"] == 1, "no holes"
    assert played["behind"] < 1.0
    assert played["dropped"] < 5
