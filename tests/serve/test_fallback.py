"""Watching where WebRTC does not pass, in a real browser."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import pytest
import pytest_asyncio
from broadcast import INPUT_SIZE, OUTPUT_SIZE, Broadcast
from letting_in import letting_in
from peers.chromium import FLAGS
from peers.waiting import until
from playwright.async_api import Page, async_playwright
from test_page import PAIRED, READ, SAMPLES, TOKEN

from streamsr.core.settings import HlsSettings
from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

WITHIN_S = 5.0
# A connection that is never made, until `streamsrTest.passes`.
BLOCKED = """
window.streamsrTest = { passes: false };
const set = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function (answer) {
  return streamsrTest.passes ? set.call(this, answer) : new Promise(() => {});
};
"""
DRAWN = "() => window.streamsr?.counters.drawn > 0"
WAY = "(way) => document.getElementById('way').textContent === way"


async def test_it_plays_over_a_websocket_and_says_so(page: Page) -> None:
    await page.add_init_script(BLOCKED)
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        begun_s = time.monotonic()
        await page.goto(server.url)
        await page.wait_for_function(DRAWN)
        await page.wait_for_function(WAY, arg="WebSocket")
        assert time.monotonic() - begun_s < WITHIN_S
        assert "WebRTC does not pass here" in (await page.locator("#message").text_content() or "")
        await page.wait_for_function(PAIRED)
        samples = await page.evaluate(SAMPLES, 60)
        assert [s for s in samples if s[0] != s[1] or s[0] < 0] == [], "both sides are in step"
        assert len({after for _, after in samples}) > 10, "it moves"
        behind = broadcast.encoded - samples[-1][1]
        assert behind < 25 * 1.5
        for name, size in [("before", INPUT_SIZE), ("after", OUTPUT_SIZE)]:
            canvas = page.locator(f"#{name}")
            assert await canvas.evaluate("(c) => [c.width, c.height]") == list(size)
        await until(lambda: server.viewers == 0)

        await page.evaluate("() => { streamsrTest.passes = true; }")
        await page.evaluate("() => dispatchEvent(new Event('online'))")
        await page.wait_for_function(WAY, arg="WebRTC")
        assert await page.locator("#message").text_content() == ""
        pairs = await page.evaluate("() => streamsr.counters.pairs")
        await page.wait_for_function(f"() => streamsr.counters.pairs > {pairs} + 20")
        assert page.complaints == []


async def test_it_begins_with_what_the_server_prefers(page: Page) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, prefer="hls") as server,
    ):
        await page.goto(server.url)
        await page.wait_for_function(PAIRED)
        assert await page.locator("#way").text_content() == "WebSocket"
        assert await page.locator("#message").text_content() == ""
        assert server.viewers == 0


async def test_the_token_of_the_prompt_goes_along(page: Page) -> None:
    await page.add_init_script(BLOCKED)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, access=letting_in(TOKEN)) as server,
    ):
        await page.goto(server.url.replace("://", f"://me:{quote(TOKEN, safe='')}@"))
        await page.wait_for_function(WAY, arg="WebSocket")
        await page.wait_for_function(PAIRED)
        assert page.complaints == []


async def test_a_wall_falls_back_too(page: Page) -> None:
    await page.add_init_script(BLOCKED)
    async with (
        Broadcast() as first,
        Broadcast() as second,
        Server({"front": first.served, "yard": second.served}) as server,
    ):
        begun_s = time.monotonic()
        await page.goto(server.url)
        await page.wait_for_function(
            "() => document.querySelectorAll('.camera[data-playing]').length === 2"
        )
        assert time.monotonic() - begun_s < WITHIN_S + 2


async def test_it_plays_hls_where_there_is_nothing_else(page: Page) -> None:
    """As on iPhones of iOS 16, which have no MediaSource."""
    await page.add_init_script(BLOCKED + "delete window.MediaSource;")
    async with Broadcast() as broadcast:
        served = replace(broadcast.served, hls=HlsSettings())
        async with Server({"camera": served}) as server:
            await page.goto(server.url)
            await page.wait_for_function(WAY, arg="HLS")
            assert "comes over HLS" in (await page.locator("#message").text_content() or "")
            await page.wait_for_function("() => streamsr.counters.drawn > 10")


async def test_a_browser_that_tells_of_no_frame(page: Page) -> None:
    """As Firefox before 132: both sides are shown, each by itself."""
    await page.add_init_script("delete HTMLVideoElement.prototype.requestVideoFrameCallback;")
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function("() => window.streamsr?.counters.drawn > 20")
        before, after = await page.evaluate(READ)
        assert before >= 0
        assert after >= 0
        assert page.complaints == []


@pytest_asyncio.fixture(loop_scope="session")
async def without_udp(chromium_path: str) -> AsyncIterator[Page]:
    """A page of a Chromium that sends no UDP, as behind a strict firewall."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path,
            args=[*FLAGS, "--webrtc-ip-handling-policy=disable_non_proxied_udp"],
        )
        yield await browser.new_page()
        await browser.close()


async def test_it_plays_within_five_seconds_without_udp(without_udp: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        begun_s = time.monotonic()
        await without_udp.goto(server.url)
        await without_udp.wait_for_function(DRAWN)
        await without_udp.wait_for_function(WAY, arg="WebSocket")
        assert time.monotonic() - begun_s < WITHIN_S
        await without_udp.wait_for_function(PAIRED)
