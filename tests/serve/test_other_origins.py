"""A dashboard at another origin, in a real browser: refused by default, let in where listed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from broadcast import Broadcast
from peers.waiting import until
from playwright.async_api import Page
from test_page import PAIRED

from streamsr.core.settings import HlsSettings
from streamsr.serve.access.access import Access
from streamsr.serve.access.origins import Origins
from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

TRY = """async (server) => {
  const tried = (work) => work().catch(() => "refused");
  const text = async (path, options) => {
    const response = await fetch(server + path, { signal: AbortSignal.timeout(12000), ...options });
    return response.ok ? (await response.text()).slice(0, 7) : String(response.status);
  };
  const image = () => new Promise((done) => {
    const found = new Image();
    found.onload = () => done(found.naturalWidth);
    found.onerror = () => done("refused");
    found.src = `${server}snapshot/camera.jpg`;
  });
  const socket = () => new Promise((done) => {
    const found = new WebSocket(`${server.replace("http", "ws")}live/camera`);
    found.onmessage = () => { done("message"); found.close(); };
    found.onerror = () => done("refused");
  });
  const whep = async () => {
    const peer = new RTCPeerConnection();
    peer.addTransceiver("video", { direction: "recvonly" });
    await peer.setLocalDescription(await peer.createOffer());
    const headers = { "Content-Type": "application/sdp" };
    const body = peer.localDescription.sdp;
    const response = await fetch(`${server}whep/camera`, { method: "POST", headers, body });
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    const location = new URL(response.headers.get("Location"), response.url);
    const left = await fetch(location, { method: "DELETE" });
    peer.close();
    return `${response.status} ${left.status}`;
  };
  return {
    api: await tried(() => text("api/v1/openapi.json")),
    hls: await tried(() => text("hls/camera/index.m3u8")),
    preflight: await tried(() => text("api/streams", { headers: { Authorization: "Bearer x" } })),
    image: await tried(image),
    socket: await tried(socket),
    whep: await tried(whep),
  };
}"""
REFUSED = dict.fromkeys(("api", "hls", "preflight", "image", "socket", "whep"), "refused")


@asynccontextmanager
async def dashboard(body: str = "") -> AsyncIterator[str]:
    """The origin of a page with that in it."""

    async def page(request: web.Request) -> web.Response:
        text = f"<!doctype html><link rel=icon href=data:,>{body}"
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://localhost:{port}"
    await runner.cleanup()


@asynccontextmanager
async def serving(*allowed: str) -> AsyncIterator[Server]:
    async with Broadcast() as broadcast:
        served = replace(broadcast.served, snapshot=broadcast.snapshot, hls=HlsSettings())
        async with Server({"camera": served}, access=Access(origins=Origins(allowed))) as server:
            yield server


async def test_a_page_of_another_origin_gets_nothing_by_default(page: Page) -> None:
    async with dashboard() as origin, serving("https://home.example") as server:
        await page.goto(origin)
        assert await page.evaluate(TRY, server.url) == REFUSED


async def test_a_page_of_a_listed_origin_gets_all(page: Page) -> None:
    async with dashboard() as origin, serving(origin) as server:
        await page.goto(origin)
        found = await page.evaluate(TRY, server.url)
        assert found == {
            "api": '{\n "ope',
            "hls": "#EXTM3U",
            "preflight": '[{"fram',
            "image": 640,
            "socket": "message",
            "whep": "201 200",
        }
        assert page.complaints == []


@pytest.mark.parametrize("listed", [True, False])
async def test_a_frame_shows_the_page_where_its_origin_is_listed(page: Page, listed: bool) -> None:
    async with (
        dashboard("<iframe width=900 height=600></iframe>") as origin,
        serving(origin if listed else "https://home.example") as server,
    ):
        await page.goto(origin)
        async with page.expect_event("framenavigated", lambda frame: frame.parent_frame):
            await page.evaluate("(url) => document.querySelector('iframe').src = url", server.url)
        if listed:
            await page.frames[1].wait_for_function(PAIRED)
            assert page.complaints == []
        else:
            await until(lambda: any("frame-ancestors" in said for said in page.complaints))
