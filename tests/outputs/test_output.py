"""Outputs in processes of their own: what servers, players and files get of a stream."""

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import web
from peers import FPS, ROUND, RtmpServer, RtspServer, coded_frames, seen
from peers.outputs import joined, record, recorded, sent, studio_outputs
from peers.waiting import until
from playwright.async_api import async_playwright

from streamsr.core.deadline import Deadline
from streamsr.core.errors import OutputError
from streamsr.core.events import Code
from streamsr.core.settings import HlsSettings, PublishSettings
from streamsr.outputs.target import check_output


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_an_rtsp_server_gets_pictures_and_audio(
    rtsp_server: RtspServer, transport: Literal["tcp", "udp"]
) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtsp_server.url(), transport=transport))
        await until(lambda: output.state == "up")
        await sent(outputs.studio, 5 * FPS)
    assert outputs.codes() == [Code.OUT_UP]
    assert (output.dropped, output.restarts) == (0, 0)
    await until(lambda: len(rtsp_server.files()) == 1)
    found = await asyncio.to_thread(seen, rtsp_server.files()[0])
    assert found.unbroken or transport == "udp"  # a busy machine loses datagrams
    assert len(found.numbers) > 3 * FPS
    whole = [(n, t) for n, t in zip(found.numbers, found.times, strict=True) if n is not None]
    (first, begun_s), (last, end_s) = whole[2 * FPS], whole[-1]  # it finds its pace
    assert (last - first) / (end_s - begun_s) == pytest.approx(FPS, rel=0.03)
    assert found.offset_s(after_s=1.2) < 0.1


async def test_a_silent_stream_is_announced_without_audio(rtsp_server: RtspServer) -> None:
    async with studio_outputs(audio=False) as outputs:
        output = outputs.start(PublishSettings(url=rtsp_server.url("silent")))
        await until(lambda: output.state == "up")
        await sent(outputs.studio, FPS)
    found = await asyncio.to_thread(seen, rtsp_server.files()[0])
    assert found.unbroken
    assert found.samples == 0


async def test_an_rtmp_server_gets_pictures_and_audio(rtmp_server: RtmpServer) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtmp_server.url()))
        await until(lambda: output.state == "up")
        found = await asyncio.to_thread(seen, rtmp_server.url(), 4 * FPS)
        assert output.target == f"rtmp://127.0.0.1:{rtmp_server.port}/live/***"
        assert (output.name, output.dropped, output.restarts) == ("rtmp", 0, 0)
    assert found.unbroken
    assert found.times[-1] - found.times[0] == pytest.approx(4 - 1 / FPS, abs=0.05)
    assert found.offset_s() < 0.1


async def test_a_recording_is_split_and_loses_nothing(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path, segment_s=1))
        await until(lambda: output.state == "up")
        await sent(outputs.studio, 5 * FPS)
        await output.stop(Deadline.after())
        last = outputs.studio.sent
    files = recorded(tmp_path)
    assert len(files) >= 5
    whole = joined(files)
    assert whole.unbroken
    assert whole.numbers[0] == 0
    assert len(whole.numbers) >= last - 1, "what was queued is written before the end"
    for file in files[:-1]:
        assert len(file.numbers) == FPS
        assert file.offset_s() < 0.1
    # every piece of audio is in one of them, too
    assert sum(f.samples for f in files) / 48_000 == pytest.approx(
        len(whole.numbers) / FPS, abs=0.1
    )


async def test_a_change_of_picture_or_audio_begins_a_new_file(tmp_path: Path) -> None:
    coded_frames(192, 108)  # encoded before, not on the way
    async with studio_outputs(audio=False) as outputs:
        output = outputs.start(record(tmp_path))
        await until(lambda: output.state == "up")
        outputs.studio.audio = True
        await sent(outputs.studio, FPS + 5)
        outputs.studio.size = (192, 108)
        await sent(outputs.studio, 2 * FPS)
    files = recorded(tmp_path)
    assert joined(files).unbroken
    assert [bool(f.samples) for f in files] == [False, True, True]
    assert [f.sizes for f in files] == [{(320, 180)}, {(320, 180)}, {(192, 108)}]
    assert output.restarts == 0


async def test_a_killed_recorder_leaves_files_that_play(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path))
        for life in range(3):
            await until(lambda n=life: len(os.listdir(tmp_path)) == n + 1)
            await sent(outputs.studio, FPS + random.randrange(FPS))
            assert output.pid is not None
            os.kill(output.pid, signal.SIGKILL)
        await until(lambda: len(os.listdir(tmp_path)) == 4)
        await until(lambda: output.state == "up")
    files = recorded(tmp_path)
    assert all(file.unbroken for file in files)
    for before, after in pairwise(files):
        # up to a GOP to the kill, and up to another until the next file can begin
        assert (after.numbers[0] - before.numbers[-1]) % ROUND <= 2 * FPS + 2
    assert output.restarts == 3
    assert outputs.codes().count(Code.OUT_DOWN) == 3


HLS_PAGE = """<video id="video" autoplay muted src="/hls/index.m3u8"></video>"""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
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


async def test_a_browser_plays_hls(chromium_path: str) -> None:
    async with studio_outputs() as outputs, async_playwright() as playwright:
        output = outputs.start(HlsSettings(segment_s=1, segments=4))
        folder = output.folder
        assert folder is not None
        await until(lambda: output.state == "up")
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        async with hls_site(folder) as site:
            page = await browser.new_page()
            await page.goto(site)
            await page.wait_for_function(f"() => ({PLAYED})().shown > {3 * FPS}", timeout=12_000)
            played = await page.evaluate(PLAYED)
            await browser.close()
    assert (played["width"], played["error"]) == (320, None)
    assert played["dropped"] < FPS
    assert played["heard"] > 0
    assert not folder.exists(), "it was a temporary one"


async def test_hls_goes_on_after_its_process_was_killed(tmp_path: Path) -> None:
    """Numbers rise, what the first process left is removed, and the end is said."""
    strange = tmp_path / "50%d off"
    settings = HlsSettings(folder=strange, segment_s=1, segments=3)
    check_output(settings)
    (strange / "keep.m4s").touch()
    coded_frames(192, 108)
    async with studio_outputs() as outputs:
        output = outputs.start(settings)
        await until(lambda: len(segments(strange)) >= 2)
        first = segments(strange)
        os.kill(output.pid or 0, signal.SIGKILL)
        await until(lambda: output.restarts == 1 and output.state == "up")
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


async def test_a_stream_that_ends_ends_its_outputs(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        outputs.start(record(tmp_path))
        await sent(outputs.studio, FPS)
        outputs.studio.broadcaster.close()
        await asyncio.wait_for(outputs.tasks[0], 5)
    (file,) = recorded(tmp_path)
    assert file.unbroken


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    for settings in (record(blocked / "rec"), HlsSettings(folder=blocked)):
        with pytest.raises(OutputError, match=r"file.*: cannot be written: "):
            check_output(settings)
    check_output(record(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []
    check_output(HlsSettings())
    check_output(PublishSettings(url="rtmp://127.0.0.1:1/live/cam"))


def test_the_process_starts_without_anything_heavy() -> None:
    script = "import sys, streamsr.outputs.process; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "av" in modules
    assert not modules & {"torch", "numpy", "cv2", "asyncio", "aiohttp"}
