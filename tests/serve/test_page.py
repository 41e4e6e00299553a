"""The page in a real browser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from broadcast import INPUT_SIZE, OUTPUT_SIZE, Broadcast
from letting_in import letting_in
from peers.certificates import make_certificate
from peers.waiting import until
from playwright.async_api import Page

from streamsr.core.status import OutputState, OutputStatus, StreamState
from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

NONE = "\u2013"
TOKEN = "p@ss/w%rd:#1-of-a-viewer"

# The numbers burnt into what both canvases show, read in one go so that no frame comes between.
# A bit is a cell and its complement below it (tests/peers/clip.py); -1 is no number.
READ = """() => ["before", "after"].map((id) => {
  const canvas = document.getElementById(id), context = canvas.getContext("2d");
  const { width, height } = canvas;
  const { data } = context.getImageData(0, 0, width, Math.ceil(height / 6));
  const green = (x, y) => data[4 * (Math.floor(y) * width + Math.floor(x)) + 1];
  let bits = 0;
  for (let column = 0; column < 16; column += 1) {
    const x = ((column + 0.5) * width) / 24;
    const upper = green(x, height / 24), lower = green(x, height / 8);
    if (Math.abs(upper - lower) < 64) return -1;
    bits = 2 * bits + (upper > lower);
  }
  return bits;
})"""
# The same at each of the browser's next repaints.
SAMPLES = f"""(count) => new Promise((done) => {{
  const read = {READ}, samples = [];
  const sample = () => {{
    samples.push(read());
    if (samples.length < count) requestAnimationFrame(sample); else done(samples);
  }};
  sample();
}})"""
COUNTERS = "() => ({ ...window.streamsr.counters, sessions: window.streamsr.sessions })"
PASSED = ("Content-Type", "Location", "Retry-After", "Content-Security-Policy")
REFUSES = """
let allowed = false;
addEventListener("pointerdown", () => { allowed = true; }, true);
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  if (allowed) return play.call(this);
  return Promise.reject(new DOMException("no", "NotAllowedError"));
};
const still = () => document.querySelectorAll("[autoplay]").forEach(
  (element) => element.removeAttribute("autoplay"));
new MutationObserver(still).observe(document, { childList: true, subtree: true });
"""
PAIRED = "() => window.streamsr?.counters.pairs > 5"


async def test_both_sides_show_the_same_frame(page: Page, tmp_path: Path) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function(PAIRED)
        earlier = await page.evaluate(COUNTERS)
        samples = await page.evaluate(SAMPLES, 150)
        counters = await page.evaluate(COUNTERS)

        assert [s for s in samples if s[0] != s[1] or s[0] < 0] == []
        numbers = [after for _, after in samples]
        assert numbers == sorted(numbers)
        assert len(set(numbers)) > 20, "it moves"
        assert counters["largestOffset"] == 0
        assert counters["mode"] == "paired"
        assert counters["pairs"] - earlier["pairs"] == counters["drawn"] - earlier["drawn"] > 20
        assert counters["calibrations"] == counters["sessions"] == 1
        for name, size in [("before", INPUT_SIZE), ("after", OUTPUT_SIZE)]:
            canvas = page.locator(f"#{name}")
            assert await canvas.evaluate("(c) => [c.width, c.height]") == list(size)
        boxes = [await page.locator(f"#{name}").bounding_box() for name in ("before", "after")]
        assert boxes[0]["width"] == pytest.approx(boxes[1]["width"])
        assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(16 / 9, rel=0.01)
        assert boxes[0]["y"] == pytest.approx(boxes[1]["y"])
        shot = tmp_path / "page.png"
        await page.screenshot(path=shot)
        assert shot.stat().st_size > 50_000, "frames are on it"
        assert page.complaints == []


async def test_it_says_what_is_going_on(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(f"{server.url}watch/camera")
        await page.wait_for_function(PAIRED)
        await page.wait_for_function("() => document.getElementById('fps').textContent === '24.7'")
        for name, text in [
            ("p50", "41"),
            ("p99", "59"),
            ("model", "edvr-s-x4"),
            ("size", "160\u2009\u00d7\u200990 \u2192 640\u2009\u00d7\u2009360"),
        ]:
            assert await page.locator(f"#{name}").text_content() == text
        assert await page.title() == "camera \u2013 streamsr"
        assert not await page.locator("#banner").is_visible()
        broadcast.state, broadcast.message = StreamState.DOWN, "<b>refused</b>; trying again in 2 s"
        await page.locator("#banner").wait_for()
        assert "last frame" in (await page.locator("#headline").text_content() or "")
        assert await page.locator("#reason").text_content() == broadcast.message
        assert page.complaints == []


async def test_a_source_that_never_came_has_no_last_frame(page: Page) -> None:
    idle = Broadcast()
    idle.state, idle.message = StreamState.DOWN, "the password is wrong"
    async with Server({"camera": idle.served}) as server:
        await page.goto(server.url)
        await page.locator("#banner").wait_for()
        assert await page.locator("#headline").text_content() == "The source has not come yet"
        assert await page.locator("#reason").text_content() == idle.message


async def test_a_video_that_moves_is_not_greyed_when_a_question_is_refused(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function(PAIRED)
        await page.route(
            "**/api/streams/camera",
            lambda route: route.fulfill(status=429, content_type="text/plain", body="slow down"),
        )
        message = page.locator("#message")
        await page.wait_for_function("() => document.getElementById('message').textContent")
        assert await message.text_content() == (
            "No news of its state: the server was asked too often from here (slow down)"
        )
        assert await page.locator("#stage").get_attribute("data-state") == "live"
        assert await page.locator("#banner").is_hidden()
        assert await page.locator("#fps").text_content() == NONE


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 403, "content_type": "text/plain", "body": "not this host"}, "(not this host)"),
        ({"status": 502, "content_type": "text/html", "body": "<h1>Bad Gateway"}, "the proxy in"),
        ({"status": 401, "content_type": "text/plain", "body": ""}, "reload the page"),
    ],
    ids=["403", "502", "401"],
)
async def test_a_page_that_is_refused_says_why(
    page: Page, answer: dict[str, Any], words: str
) -> None:
    async with Server({"camera": Broadcast().served}) as server:
        await page.route("**/api/**", lambda route: route.fulfill(**answer))
        await page.goto(server.url)
        await page.locator("#banner").wait_for()
        assert words in await page.locator("#banner").inner_text()
        assert "<h1>" not in await page.locator("#banner").inner_text()


async def test_a_page_whose_script_is_refused_says_where_to_look(page: Page) -> None:
    async with Server({"camera": Broadcast().served}) as server:
        await page.route("**/app.js", lambda route: route.fulfill(status=403, body="not taken"))
        await page.goto(server.url)
        link = page.locator("#unscripted a")
        await link.wait_for()
        assert await link.evaluate("(a) => a.href") == f"{server.url}page/app.js"


async def test_a_tap_plays_where_the_browser_does_not_by_itself(page: Page) -> None:
    """As on iPhones that save power. What plays needs no second connection."""
    await page.add_init_script(REFUSES)
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.locator("#banner").wait_for()
        assert await page.locator("#headline").text_content() == "Tap to play"
        assert await page.locator("#play").is_visible()
        await asyncio.sleep(7)  # longer than a stall
        assert await page.evaluate("() => streamsr.sessions") == 1
        await page.locator("#after").click()
        await page.wait_for_function(PAIRED)
        assert await page.locator("#banner").is_hidden()
        assert not await page.locator("#play").is_visible()
        assert (await page.evaluate(COUNTERS))["sessions"] == 1
        assert page.complaints == []


async def test_it_works_below_a_path(page: Page) -> None:
    """Where a proxy strips the path, and nothing tells the server of it."""
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        proxied(server.url, "/cameras/north/") as url,
    ):
        for address in (url, f"{url}watch/camera"):
            await page.goto(address)
            await page.wait_for_function(PAIRED)
        assert await page.locator("#home").evaluate("(a) => a.href") == url
        assert await page.locator("nav a").evaluate("(a) => a.href") == f"{url}watch/camera"
        assert page.complaints == []


@asynccontextmanager
async def proxied(target: str, path: str) -> AsyncIterator[str]:
    """A proxy of the server that has it below a path. Host and Location stay as they were."""

    async def forward(request: web.Request) -> web.Response:
        inner = request.raw_path.removeprefix(path)
        async with session.request(
            request.method,
            target + inner,
            headers={k: v for k, v in request.headers.items() if k in ("Content-Type", "Accept")},
            data=await request.read() or None,
        ) as answer:
            headers = {k: v for k, v in answer.headers.items() if k in PASSED}
            location = headers.get("Location", "")
            if location.startswith("/"):
                headers["Location"] = path + location[1:]
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)

    app = web.Application()
    app.router.add_route("*", path + "{rest:.*}", forward)
    runner = web.AppRunner(app)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
        finally:
            await runner.cleanup()


async def test_it_works_from_the_keyboard(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function(PAIRED)
        await page.wait_for_function("() => !document.getElementById('mute').disabled")
        assert await page.evaluate("() => document.getElementById('audio').muted")
        await page.locator("#mute").focus()
        await page.keyboard.press("Enter")
        assert not await page.evaluate("() => document.getElementById('audio').muted")
        assert await page.locator("#mute").get_attribute("aria-pressed") == "false"
        await page.keyboard.press("s")
        boxes = [await page.locator(f"#{name}").bounding_box() for name in ("before", "after")]
        assert boxes[0] == boxes[1], "one canvas over the other"
        at = float(await page.locator("#split").input_value())
        await page.keyboard.press("ArrowLeft")
        assert float(await page.locator("#split").input_value()) < at
        samples = await page.evaluate(SAMPLES, 30)
        assert all(before == after >= 0 for before, after in samples), samples
        await page.keyboard.press("f")
        await page.wait_for_function("() => document.fullscreenElement?.id === 'stage'")
        assert page.complaints == []


async def test_without_input_the_output_is_shown_alone(page: Page) -> None:
    async with (
        Broadcast(with_input=False, audio=False) as broadcast,
        Server({"camera": broadcast.served}) as server,
    ):
        await page.goto(server.url)
        await page.wait_for_function("() => window.streamsr?.counters.drawn > 5")
        before, after = await page.evaluate(READ)
        assert before == -1
        assert 0 <= after <= broadcast.encoded
        assert (await page.evaluate(COUNTERS))["mode"] == "alone"
        assert await page.locator("#mute").is_disabled()
        assert page.complaints == []


async def test_it_comes_back_when_the_server_does(page: Page) -> None:
    async with Broadcast() as broadcast:
        async with Server({"camera": broadcast.served}) as server:
            await page.goto(server.url)
            await page.wait_for_function(PAIRED)
        await page.wait_for_function(
            "() => document.getElementById('state').dataset.state === 'lost'"
        )
        async with Server({"camera": broadcast.served}, port=server.port) as server:
            await page.wait_for_function("() => window.streamsr.sessions === 2")
            pairs = (await page.evaluate(COUNTERS))["pairs"]
            await page.wait_for_function(f"() => window.streamsr.counters.pairs > {pairs} + 20")
            samples = await page.evaluate(SAMPLES, 30)
            assert all(before == after >= 0 for before, after in samples), samples
            assert not await page.locator("#banner").is_visible()
            await page.close()
            await until(lambda: server.viewers == 0)


async def test_a_source_that_is_away_has_no_rate(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        live, down, disabled = StreamState.LIVE, StreamState.DOWN, StreamState.DISABLED
        for state, rate in [(live, "24.7"), (down, NONE), (live, "24.7"), (disabled, NONE)]:
            broadcast.state = state
            await page.wait_for_function(
                "([id, text]) => document.getElementById(id).textContent === text",
                arg=["fps", rate],
            )
            for name in ("p50", "p99"):
                shown = await page.locator(f"#{name}").text_content()
                assert (shown == NONE) == (state != live)
        assert await page.locator("#headline").text_content() == "This stream is switched off"
        assert page.complaints == []


async def test_it_says_what_runs_and_where_it_goes(page: Page, tmp_path: Path) -> None:
    outputs = [
        OutputStatus("rtsp", "rtsp://***@server/street", OutputState.UP),
        OutputStatus("<i>record</i>", "/video", OutputState.DOWN, dropped=12),
    ]
    async with Broadcast() as broadcast:
        broadcast.wanted = "edvr-m-x4"
        served = replace(broadcast.served, outputs=lambda: outputs, hls=tmp_path)
        async with Server({"camera": served}) as server:
            await page.goto(server.url)
            await page.locator("#outputs li").nth(1).wait_for()
            assert await page.locator("#outputs li").all_text_contents() == [
                "rtsp: up",
                "<i>record</i>: away, trying again, 12 packets dropped",
            ]
            assert (
                await page.locator("#outputs li").first.get_attribute("title") == outputs[0].target
            )
            text = await page.locator("#fallback").text_content()
            assert text == "Fell back to edvr-s-x4: edvr-m-x4 did not keep up."
            href = await page.locator("#hls").get_attribute("href")
            assert href == f"{server.url}hls/camera/index.m3u8"
            broadcast.wanted = "edvr-s-x4"
            outputs.clear()
            await page.wait_for_function("() => !document.getElementById('fallback').textContent")
            assert await page.locator("#outputs li").count() == 0
            assert page.complaints == []


@pytest.mark.parametrize("with_tls", [False, True], ids=["http", "https"])
async def test_the_token_is_given_once(page: Page, tmp_path: Path, with_tls: bool) -> None:
    """As the browser's own prompt would: everything the page asks for carries it from then on."""
    certificate = make_certificate(tmp_path) if with_tls else None
    async with Broadcast() as broadcast:
        served = broadcast.served
        async with Server({"camera": served}, access=letting_in(TOKEN, certificate)) as server:
            await page.goto(server.url.replace("://", f"://me:{quote(TOKEN, safe='')}@"))
            await page.wait_for_function(PAIRED)
            await page.goto(f"{server.url}watch/camera")
            await page.wait_for_function(PAIRED)
            await page.reload()
            await page.wait_for_function(PAIRED)
            await until(lambda: server.viewers == 1)  # the pages that were left ended theirs
            assert TOKEN not in await page.content()
            assert page.complaints == []
            await asyncio.gather(page.close(), until(lambda: server.viewers == 0))
