"""The folder of an HLS stream: numbers that rise, what is left of earlier runs, the end."""

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from aiohttp import web
from peers import FPS, coded_frames, packets, seen
from peers.chromium import FLAGS
from peers.outputs import quick, sent, studio_outputs
from peers.waiting import until
from playwright.async_api import async_playwright

from streamsr.core.packet import Packet, Track
from streamsr.core.settings import HlsSettings
from streamsr.core.status import OutputState
from streamsr.ipc.messages import OutputFormat
from streamsr.outputs.hls import PLAYLIST, HlsWriter
from streamsr.outputs.mux_session import Muxer, MuxTarget
from streamsr.outputs.target import check_output

STREAM = OutputFormat(Fraction(FPS), True)


def write(hls: HlsWriter, coming: Iterable[Packet]) -> None:
    for packet in coming:
        hls.write(packet, STREAM)
        hls.check()


def stream(seconds: int, size: tuple[int, int] = (320, 180)) -> list[Packet]:
    found: list[Packet] = []
    for packet in packets(lambda: size):
        if packet.track == Track.OUTPUT and packet.pts * packet.time_base >= seconds:
            return found
        found.append(packet)
    raise AssertionError


def numbers(folder: Path) -> list[int]:
    """Of the segments the playlist names."""
    lines = (folder / PLAYLIST).read_text().splitlines()
    return [int(line[4:-4]) for line in lines if line.startswith("seg_")]


def test_a_player_finds_the_newest_frames_and_their_audio(tmp_path: Path) -> None:
    hls = HlsWriter(tmp_path, 1.0, 3)
    write(hls, stream(5))
    assert hls.state is OutputState.UP
    assert (tmp_path / PLAYLIST).read_text().count("#EXT-X-PROGRAM-DATE-TIME") == 3
    hls.close()
    found = seen(tmp_path / PLAYLIST)
    assert found.unbroken
    assert found.numbers == list(range(2 * FPS, 5 * FPS))
    assert found.offset_s() < 0.05
    assert (tmp_path / PLAYLIST).read_text().endswith("#EXT-X-ENDLIST\n")


def test_where_audio_stops_it_goes_on_in_silence(tmp_path: Path) -> None:
    """A browser plays no further than the shorter of two tracks goes."""
    hls = HlsWriter(tmp_path, 1.0, 8)
    write(hls, [p for p in stream(6) if p.track == Track.OUTPUT or p.pts < 2 * 48_000])
    hls.close()
    assert seen(tmp_path / PLAYLIST).samples == 6 * 48_000 // 1024 * 1024


def test_a_server_is_sent_no_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.flv"
    muxer = Muxer(lambda: MuxTarget(str(path), "flv"))
    for packet in stream(6):
        if packet.track == Track.OUTPUT or packet.pts < 48_000:
            muxer.write(packet, STREAM)
    muxer.close()
    assert seen(path).samples == pytest.approx(48_000, abs=2048)


def test_it_can_be_played_when_there_is_enough_to_begin_with(tmp_path: Path) -> None:
    hls = HlsWriter(tmp_path, 1.0, 3)
    for packet in stream(5):
        write(hls, [packet])
        listed = numbers(tmp_path) if (tmp_path / PLAYLIST).exists() else []
        assert (hls.state is OutputState.UP) == (len(listed) >= 3)
    assert hls.state is OutputState.UP
    hls.close()


def test_another_run_goes_on_above_and_removes_what_was_left(tmp_path: Path) -> None:
    ahead = int(time.time()) + 1000  # a clock that was set back
    (tmp_path / f"seg_{ahead}.m4s").touch()
    (tmp_path / f"seg_{ahead + 1}.m4s.tmp").touch()
    (tmp_path / f"init_{ahead}.mp4").touch()
    others = {"mine.mp4", "seg_x.m4s", "seg_1.ts"}
    for name in others:
        (tmp_path / name).touch()
    hls = HlsWriter(tmp_path, 1.0, 3)
    write(hls, stream(2))
    assert min(numbers(tmp_path)) > ahead + 1
    left = set(os.listdir(tmp_path)) - {PLAYLIST}
    assert f"seg_{ahead}.m4s" not in left
    assert f"seg_{ahead + 1}.m4s.tmp" not in left
    assert f"init_{ahead}.mp4" not in left
    assert others < left
    hls.close()


def test_what_was_left_stays_while_a_playlist_names_it(tmp_path: Path) -> None:
    first = HlsWriter(tmp_path, 1.0, 3)
    write(first, stream(3))
    named = numbers(tmp_path)  # and then it is killed, or so
    second = HlsWriter(tmp_path, 1.0, 3)
    write(second, stream(1))
    assert numbers(tmp_path) == named
    assert all((tmp_path / f"seg_{number}.m4s").exists() for number in named)
    write(second, stream(3)[-1:])
    second.close()


def test_another_size_is_a_discontinuity(tmp_path: Path) -> None:
    size = (192, 108)
    coded_frames(*size)
    hls = HlsWriter(tmp_path, 1.0, 3)
    write(hls, stream(2))
    before = numbers(tmp_path)
    write(hls, stream(2, size))
    assert "#EXT-X-DISCONTINUITY\n" in (tmp_path / PLAYLIST).read_text()
    assert min(numbers(tmp_path)) > max(before)
    hls.close()
    assert seen(tmp_path / PLAYLIST).sizes == {size}


HLS_PAGE = """<video id="video" autoplay muted src="/hls/index.m3u8"></video>"""
AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
PLAYED = """() => {
  const video = document.getElementById("video");
  const { totalVideoFrames: shown, droppedVideoFrames: dropped } = video.getVideoPlaybackQuality();
  const { videoWidth: width, currentTime: time, webkitAudioDecodedByteCount: heard } = video;
  return { shown, dropped, width, time, heard, error: video.error?.message };
}"""


@asynccontextmanager
async def hls_site(folder: Path) -> AsyncIterator[str]:
    """A site with a player of what is in ``folder``; gives its address."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=HLS_PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_static("/hls", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        await runner.cleanup()


async def test_a_browser_plays_hls(chromium_path: str, tmp_path: Path) -> None:
    async with studio_outputs() as outputs, async_playwright() as playwright:
        output = outputs.start(HlsSettings(folder=tmp_path, segment_s=1, segments=4))
        outputs.studio.speed = 4
        await until(lambda: output.state is OutputState.UP)
        outputs.studio.speed = 1
        browser = await playwright.chromium.launch(
            executable_path=chromium_path, args=[*FLAGS, AUTOPLAY]
        )
        async with hls_site(tmp_path) as site:
            page = await browser.new_page()
            await page.goto(site)
            await page.wait_for_function(f"() => ({PLAYED})().shown > {2 * FPS}", timeout=12_000)
            played = await page.evaluate(PLAYED)
            await browser.close()
    assert (played["width"], played["error"]) == (320, None)
    assert played["dropped"] < FPS
    assert played["heard"] > 0


async def test_hls_goes_on_after_its_process_was_killed(tmp_path: Path) -> None:
    """Numbers rise, what the first process left is removed, and the end is said."""
    strange = tmp_path / "50%d off"
    settings = HlsSettings(folder=strange, segment_s=1, segments=3)
    check_output(settings)
    (strange / "keep.m4s").touch()
    coded_frames(192, 108)
    async with studio_outputs() as outputs:
        outputs.studio.speed = 3
        output = outputs.start(settings, **quick())
        await until(lambda: len(segments(strange)) >= 2)
        first = segments(strange)
        os.kill(output.pid or 0, signal.SIGKILL)
        await until(lambda: output.restarts == 1 and output.state is OutputState.UP)
        await until(lambda: min(segments(strange), default=0) > max(first))
        outputs.studio.size = (192, 108)
        await until(lambda: "DISCONTINUITY" in (strange / "index.m3u8").read_text())
        await sent(outputs.studio, 3 * FPS)
    text = (strange / "index.m3u8").read_text()
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert text.count(".m4s") == 3
    found = await asyncio.to_thread(seen, strange / "index.m3u8")
    assert found.unbroken
    assert found.sizes == {(192, 108)}
    assert found.offset_s() < 0.1
    names = {path.name for path in strange.iterdir()} - {"keep.m4s"}
    assert len([name for name in names if name.startswith("init_")]) == 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.(m3u8|mp4|m4s)", name) for name in names), names
    assert (strange / "keep.m4s").exists(), "it was not ours"


def segments(folder: Path) -> list[int]:
    """The numbers of the segments there are."""
    return sorted(int(path.stem.partition("_")[2]) for path in folder.glob("seg_*.m4s"))
