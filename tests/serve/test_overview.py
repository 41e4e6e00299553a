"""The overview of many cameras, in a real browser."""

from dataclasses import replace
from pathlib import Path

import pytest
from broadcast import INPUT_SIZE, OUTPUT_SIZE, Broadcast
from peers.waiting import until
from playwright.async_api import Page

from streamsr.core.status import StreamState
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

SIZES = "{}\u2009\u00d7\u2009{} \u2192 {}\u2009\u00d7\u2009{}".format(*INPUT_SIZE, *OUTPUT_SIZE)
PLAYING_CARDS = "() => document.querySelectorAll('.camera[data-playing]').length"
# What the limit is after looks at eight videos: one that is good, two bad ones, good ones until it
# may be one more. JSON has null for Infinity.
GOVERNED = """async () => {
  const { Governor } = await import("/page/governor.js");
  const governor = new Governor();
  const limits = [];
  const look = (dropped, nowMs) => {
    const shown = Math.min(8, governor.limit);
    governor.look({ shown, presented: 400 - dropped, dropped, lateMs: 0 }, nowMs);
    limits.push(governor.limit === Infinity ? null : governor.limit);
  };
  [[0, 0], [100, 2000], [100, 4000], [0, 6000], [0, 60000], [0, 70000]].forEach((a) => look(...a));
  return limits;
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
    """Those that are live play; one click leads to one of them."""
    async with Broadcast() as first, Broadcast() as second:
        idle = Broadcast()
        idle.state, idle.message = StreamState.DOWN, "<b>refused</b>"
        second.wanted = "edvr-m-x4"
        name = "<img src=x>"
        streams = {"front": first.served, name: idle.served, "yard": second.served}
        async with Server(streams) as server:
            await page.goto(server.url)
            await page.wait_for_function(f"() => ({PLAYING_CARDS})() === 2")

            async def texts(part: str) -> list[str]:
                return await page.locator(f"#cameras [data-part={part}]").all_text_contents()

            assert await texts("name") == ["front", name, "yard"]
            assert await texts("state") == ["live", "source away", "live"]
            assert await texts("fps") == ["24.7", "\u2013", "24.7"]
            assert await texts("size") == [SIZES] * 3
            fallback = "Fell back to edvr-s-x4: edvr-m-x4 did not keep up."
            assert await texts("note") == ["", "<b>refused</b>", fallback]
            assert await page.locator("#state").text_content() == "2 of 3 live"
            video = page.locator(".still video").first
            assert await video.evaluate("(v) => [v.videoWidth, v.videoHeight]") == [640, 360]
            assert server.viewers == 2
            shot = tmp_path / "overview.png"
            await page.screenshot(path=shot)
            assert shot.stat().st_size > 20_000

            del streams[name]
            await page.wait_for_function("() => document.querySelectorAll('.camera').length === 2")

            await page.locator(".camera").nth(1).click()
            await page.wait_for_url(f"{server.url}watch/yard")
            await page.wait_for_function("() => window.streamsr?.counters.pairs > 5")
            assert server.viewers == 1, "the others are not watched any more"
            await page.locator("h1 a").click()
            await page.locator(".camera").first.wait_for()
            await page.close()
            await until(lambda: server.viewers == 0)
            assert page.complaints == []


async def test_what_the_server_has_no_more_viewers_for_is_shown_as_snapshots(page: Page) -> None:
    async with Broadcast() as first, Broadcast() as second:
        counted = [Counted(first), Counted(second)]
        streams = {name: c.served for name, c in zip(("front", "yard"), counted, strict=True)}
        async with Server(streams, limits=ServerLimits(viewers=1)) as server:
            await page.goto(server.url)
            await page.wait_for_function(f"() => ({PLAYING_CARDS})() === 1")
            shown = page.locator(".camera:not([data-playing]) img")
            await shown.wait_for()
            source = await shown.get_attribute("src")
            assert await shown.evaluate("(i) => [i.naturalWidth, i.naturalHeight]") == [640, 360]
            await page.wait_for_function(
                "(src) => document.querySelector('.camera:not([data-playing]) img').src !== src",
                arg=source,
            )
            assert await page.evaluate(PLAYING_CARDS) == 1
            assert await page.evaluate("() => streamsr.governor.limit") == 1


async def test_cameras_out_of_view_are_not_watched(page: Page) -> None:
    async with Broadcast() as broadcast:
        streams = {f"camera {n}": broadcast.served for n in range(4)}
        async with Server(streams) as server:
            await page.set_viewport_size({"width": 390, "height": 300})
            await page.goto(server.url)
            await page.wait_for_function("() => window.streamsr?.playing.length")
            assert "camera 0" in await page.evaluate("() => streamsr.playing")
            assert "camera 3" not in await page.evaluate("() => streamsr.playing")
            await page.locator(".camera").nth(3).scroll_into_view_if_needed()
            await page.wait_for_function("() => streamsr.playing.includes('camera 3')")
            await page.wait_for_function("() => !streamsr.playing.includes('camera 0')")
            await until(lambda: server.viewers <= 2)


async def test_the_wall_fills_the_screen(page: Page) -> None:
    """Of a phone too, which has no full screen."""
    await page.add_init_script("delete Element.prototype.requestFullscreen")
    async with Broadcast() as broadcast:
        streams = {f"camera {n}": broadcast.served for n in range(4)}
        async with Server(streams) as server:
            await page.goto(server.url)
            await page.locator(".camera").nth(3).wait_for()
            await page.locator("#full").click()
            for (width, height), across in [((1280, 800), 2), ((390, 844), 1)]:
                await page.set_viewport_size({"width": width, "height": height})
                await page.wait_for_function(
                    "(n) => document.getElementById('cameras').style"
                    ".getPropertyValue('--columns') === String(n)",
                    arg=across,
                )
                boxes = [await c.bounding_box() for c in await page.locator(".camera").all()]
                assert boxes[0]["x"] == boxes[0]["y"] == 0
                assert boxes[3]["x"] + boxes[3]["width"] == width
                assert boxes[3]["y"] + boxes[3]["height"] == height
            await page.mouse.move(100, 100)
            await page.locator("#leave").click()
            await page.locator("#leave").wait_for(state="hidden", timeout=5000)
            assert not await page.locator("header").evaluate("(e) => e.inert")


async def test_fewer_videos_where_the_machine_drops_frames(page: Page) -> None:
    async with Server({"a": Broadcast().served}) as server:
        await page.goto(f"{server.url}livez")
        assert await page.evaluate(GOVERNED) == [None, None, 5, 5, 5, 6]


async def test_one_camera_needs_no_overview(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function("() => window.streamsr?.counters.pairs > 5")
