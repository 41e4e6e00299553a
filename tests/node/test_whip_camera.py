"""A stream that is published by a browser's camera, from end to end: to frames on the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from peers.chromium import FLAGS
from peers.waiting import until
from playwright.async_api import Browser, Page, async_playwright

from streamsr.core.config import parse
from streamsr.core.deadline import Deadline
from streamsr.core.errors import ConfigError
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import NodeSettings, PipelineSettings
from streamsr.core.status import StreamState
from streamsr.node.node import Node

CAMERA = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--autoplay-policy=no-user-gesture-required",
)
PUBLISH = """async (url) => {
  const stream = await navigator.mediaDevices.getUserMedia(
    { video: { width: 320, height: 240, frameRate: 20 }, audio: true });
  const pc = new RTCPeerConnection();
  for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: "sendonly" });
  await pc.setLocalDescription();
  const headers = { "Content-Type": "application/sdp" };
  const body = pc.localDescription.sdp;
  const response = await fetch(url, { method: "POST", headers, body });
  if (response.status !== 201) throw new Error(await response.text());
  const location = new URL(response.headers.get("Location"), response.url);
  await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
  window.publishing = { pc, location };
  return location.pathname;
}"""
LEAVE = """async () => {
  await fetch(publishing.location, { method: "DELETE" });
  publishing.pc.close();
}"""
DRAWN = "() => window.streamsr?.counters.drawn > 20"


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Node, str]]:
    stream = {
        "name": "desk",
        "input": {"url": "whip"},
        "model": {"name": "bicubic", "device": "cpu"},
        "output": {"scale": 2},
    }
    settings = {"serve": {"listen": "127.0.0.1:0"}, "streams": [stream]}
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    node = Node(NodeSettings.model_validate(settings), logged_journal())
    run = asyncio.create_task(node.run(listening.set_result))
    try:
        yield node, await listening
    finally:
        node.stop(Deadline.after())
        await run


@asynccontextmanager
async def browser_with_camera(path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*FLAGS, *CAMERA])
        yield browser
        await browser.close()


async def publish(browser: Browser, url: str) -> Page:
    page = await browser.new_page()
    await page.goto(f"{url}livez")
    path = await page.evaluate(PUBLISH, f"{url}whip/desk")
    assert path.startswith("/whip/desk/")
    return page


async def test_a_browsers_camera_is_seen_on_the_page(chromium_path: str) -> None:
    async with running() as (node, url), browser_with_camera(chromium_path) as browser:
        await until(lambda: "desk" in node.served)
        status = node.served["desk"].status
        publishing = await publish(browser, url)
        await until(lambda: status().state is StreamState.LIVE, 20)
        watching = await browser.new_page()
        await watching.goto(f"{url}watch/desk")
        await watching.wait_for_function(DRAWN, timeout=20_000)
        assert status().audio
        assert (status().input, status().output) == ("320x240", "640x480")
        sent = status().frames_out
        await publishing.evaluate(LEAVE)
        await until(lambda: status().state is StreamState.DOWN, 10)
        again = await publish(browser, url)
        await until(lambda: status().state is StreamState.LIVE, 15)
        await until(lambda: status().frames_out > sent + 20, 10)
        assert status().reconnects == 1
        await again.close()


@pytest.mark.parametrize("kind", [NodeSettings, PipelineSettings])
def test_without_serve_there_is_nowhere_to_publish(kind: type) -> None:
    stream = {"input": {"url": "whip"}}
    data = {"streams": [stream]} if kind is NodeSettings else stream
    with pytest.raises(ConfigError, match=r"got 'whip', which \[serve\] takes"):
        parse(data, kind, "here")


def test_hls_that_nothing_plays_is_said(caplog: pytest.LogCaptureFixture) -> None:
    stream = {"name": "cam", "input": {"url": "demo"}, "hls": {}}
    Node(NodeSettings.model_validate({"streams": [stream]}), logged_journal())
    assert "stream cam: its [hls] has no folder, and there is no [serve]" in caplog.text
