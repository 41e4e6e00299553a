"""The overview of many cameras, and HLS, in a real browser."""

from dataclasses import replace
from pathlib import Path

import pytest
from broadcast import INPUT_SIZE, OUTPUT_SIZE, Broadcast
from letting_in import letting_in
from peers.waiting import until
from playlist import SIZE, make_playlist
from playwright.async_api import Page

from streamsr.core.status import StreamState
from streamsr.serve.app import Server
from streamsr.serve.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

SIZES = "{}\u2009\u00d7\u2009{} \u2192 {}\u2009\u00d7\u2009{}".format(*INPUT_SIZE, *OUTPUT_SIZE)
STILLS = "() => [...document.querySelectorAll('.still img')].filter((i) => i.naturalWidth).length"
SOURCE = "(n) => document.querySelectorAll('.camera')[n].querySelector('img').src"
PLAYING = "() => document.querySelector('video').currentTime > 1"
PLAYED = """() => {
  const video = document.querySelector("video");
  return [video.videoWidth, video.videoHeight, video.getVideoPlaybackQuality().totalVideoFrames];
}"""


class Counted:
    """A broadcast as it is served, with a count of the snapshots taken of it."""

    def __init__(self, broadcast: Broadcast) -> None:
        self.taken = 0
        self.served = replace(broadcast.served, snapshot=self.take)
        self._broadcast = broadcast

    async def take(self) -> bytes:
        self.taken += 1
        return await self._broadcast.snapshot()


async def test_many_cameras_at_a_glance(page: Page, tmp_path: Path) -> None:
    async with Broadcast() as first, Broadcast() as second:
        front = Counted(first)
        idle = Broadcast()
        idle.state, idle.message = StreamState.DOWN, "<b>refused</b>"
        second.wanted = "edvr-m-x4"
        name = "<img src=x>"
        streams = {"front": front.served, name: idle.served, "yard": Counted(second).served}
        async with Server(streams) as server:
            await page.goto(server.url)
            await page.wait_for_function(f"() => ({STILLS})() === 2")

            async def texts(part: str) -> list[str]:
                return await page.locator(f"#cameras [data-part={part}]").all_text_contents()

            assert await texts("name") == ["front", name, "yard"]
            assert await texts("state") == ["live", "source away", "live"]
            assert await texts("fps") == ["24.7", "\u2013", "24.7"]
            assert await texts("size") == [SIZES] * 3
            fallback = "Fell back to edvr-s-x4: edvr-m-x4 did not keep up."
            assert await texts("note") == ["", "<b>refused</b>", fallback]
            assert await page.locator("#state").text_content() == "2 of 3 live"
            image = page.locator(".still img").first
            assert await image.evaluate("(i) => [i.naturalWidth, i.naturalHeight]") == [640, 360]
            shot = tmp_path / "overview.png"
            await page.screenshot(path=shot)
            assert shot.stat().st_size > 20_000

            source, taken = await page.evaluate(SOURCE, 0), front.taken
            await page.wait_for_function(f"(src) => ({SOURCE})(0) !== src", arg=source)
            assert front.taken == taken + 1
            del streams[name]
            await page.wait_for_function("() => document.querySelectorAll('.camera').length === 2")

            await page.locator(".camera").nth(1).click()
            await page.wait_for_url(f"{server.url}watch/yard")
            await page.wait_for_function("() => window.streamsr?.counters.pairs > 5")
            await page.locator("h1 a").click()
            await page.locator(".camera").first.wait_for()
            await until(lambda: server.viewers == 0)
            assert page.complaints == []


async def test_one_camera_needs_no_overview(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function("() => window.streamsr?.counters.pairs > 5")


async def test_hls_plays(page: Page, tmp_path: Path) -> None:
    folder = make_playlist(tmp_path / "hls")
    streams: dict[str, Served] = {"camera": replace(Broadcast().served, hls=folder)}
    async with Server(streams, access=letting_in("a-token-of-a-viewer")) as server:
        url = server.url.replace("://", "://me:a-token-of-a-viewer@")
        await page.goto(f"{url}readyz")
        page.complaints.clear()  # not ready, and no icon
        await page.evaluate("""() => {
          const video = document.createElement("video");
          video.muted = true;
          video.src = "/hls/camera/index.m3u8";
          document.body.replaceChildren(video);
          return video.play();
        }""")
        await page.wait_for_function(PLAYING)
        width, height, frames = await page.evaluate(PLAYED)
        assert (width, height) == SIZE
        assert frames > 20
        # what the page's link leads to
        await page.goto(f"{server.url}hls/camera/index.m3u8")
        await page.wait_for_function(PLAYING)
