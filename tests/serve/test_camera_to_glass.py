"""How long frames take from camera to glass, as the page says, against a clock in the frames.

The clock is read off screenshots of the browser, which says when each of them was taken.
"""

import asyncio
import base64
import re
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from broadcast import Broadcast
from peers import RtspCamera, read_number
from playwright.async_api import Page

from streamsr.core.deadline import Deadline
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import NodeSettings
from streamsr.ipc.frame_traces import FrameTraces, Leg
from streamsr.node.node import Node
from streamsr.serve.api import latency
from streamsr.serve.api.viewer import Prefer
from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

WITHIN_MS = 40
ON_WAY_S = 0.05
FRAME_MS = 40
WRAP_MS = 65_536  # what the clock in the frames counts to
SOME = "() => window.streamsr?.glass.traces.found.length > 40"
PAIRED = "() => window.streamsr?.counters.pairs > 5"
CELLS = """() => Object.fromEntries([...document.querySelectorAll("#glass tr[data-leg]")].map(
  (row) => [row.dataset.leg, [...row.querySelectorAll("td")].map((cell) => cell.textContent)]))"""
# What the page says of each frame: the camera's clock, and how long it was on its way.
SAID = """() => {
  const { found, ways } = window.streamsr.glass.traces;
  return found.map(({ frame }, index) => [frame.captured, ways[index].whole]);
}"""
BOX = """() => {
  const { x, y, width, height } = document.getElementById("after").getBoundingClientRect();
  return [x, y, width, height].map(Math.round);
}"""
ASKED = re.compile(r"/latency\?|/clock$|/shown$")
CLOSE = "() => { document.getElementById('glass').open = false; }"
HIDE = "() => { Object.defineProperty(document, 'hidden', { get: () => true }); }"
NO_FRAME_CALLBACK = "delete HTMLVideoElement.prototype.requestVideoFrameCallback"


async def screenshots(page: Page, seconds: float) -> dict[int, float]:
    """The numbers that the after side showed, and when each was on the screen first, as Unix ms."""
    x, y, width, height = await page.evaluate(BOX)
    client = await page.context.new_cdp_session(page)
    shots: list[Mapping[str, Any]] = []

    async def take(shot: Mapping[str, Any]) -> None:
        shots.append(shot)
        await client.send("Page.screencastFrameAck", {"sessionId": shot["sessionId"]})

    client.on("Page.screencastFrame", take)
    await client.send("Page.startScreencast", {"format": "jpeg", "quality": 70})
    await asyncio.sleep(seconds)
    await client.send("Page.stopScreencast")
    seen: dict[int, float] = {}
    for shot in shots:
        data = np.frombuffer(base64.b64decode(shot["data"]), np.uint8)
        luma = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        number = read_number(luma[y : y + height, x : x + width])
        if number is not None:
            seen.setdefault(number, 1000 * shot["metadata"]["timestamp"])
    return seen


async def cells(page: Page) -> dict[str, list[float | None]]:
    """The numbers of the table: median and 99 % within, None where there is none."""
    shown = await page.evaluate(CELLS)
    return {
        leg: [float(text.split()[0]) if text.endswith(" ms") else None for text in texts]
        for leg, texts in shown.items()
    }


@pytest.mark.parametrize(("prefer", "way"), [("webrtc", "WebRTC"), ("hls", "WebSocket")])
async def test_it_is_what_a_clock_in_the_frames_says(page: Page, prefer: Prefer, way: str) -> None:
    async with (
        Broadcast(on_way_s=ON_WAY_S) as broadcast,
        Server({"camera": broadcast.served}, prefer=prefer) as server,
    ):
        await page.goto(server.url)
        await page.locator("#glass summary").click()
        await page.wait_for_function(SOME)
        shown_ms = await screenshots(page, 3)
        await page.wait_for_timeout(2500)  # until their traces were asked for
        said_ms = {round(1000 * c) % WRAP_MS: whole for c, whole in await page.evaluate(SAID)}
        table = await cells(page)
        assert await page.locator("#way").text_content() == way
        told = broadcast.broadcaster.traces.legs[Leg.SHOWN]
        metrics = await (await page.request.get(f"{server.url}metrics")).text()
        assert 'leg="shown",stream="camera"' in metrics
        assert page.complaints == []
    both = shown_ms.keys() & said_ms.keys()
    assert len(both) > 20
    errors = [said_ms[n] - (shown_ms[n] - n) % WRAP_MS for n in both]
    assert abs(statistics.median(errors)) <= WITHIN_MS, sorted(errors)
    median, within = zip(*table.values(), strict=True)
    assert None not in median + within
    assert table["camera"] == [pytest.approx(1000 * ON_WAY_S, abs=2)] * 2
    assert median[-1] == pytest.approx(statistics.median(said_ms.values()), abs=WITHIN_MS)
    assert median[-1] == pytest.approx(sum(median[:-1]), rel=0.2)
    assert sum(told.counts) > 20


@pytest.mark.parametrize("away", [CLOSE, HIDE], ids=["closed", "hidden"])
async def test_it_asks_once_a_second_at_most_and_nothing_while_it_is_not_seen(
    page: Page, away: str
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def counted() -> int:
        return sum(bool(ASKED.search(address)) for address in asked)

    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function(PAIRED)
        await page.wait_for_timeout(1200)
        assert counted() == 0
        await page.locator("#glass summary").click()
        await page.wait_for_timeout(4500)
        assert 3 <= counted() <= 6
        await page.evaluate(away)
        before = counted()
        await page.wait_for_timeout(2000)
        assert counted() <= before + 1
        assert await page.evaluate("() => window.streamsr.glass.traces.shown.size") < 50


async def test_a_camera_without_a_clock_has_no_leg(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.locator("#glass summary").click()
        await page.wait_for_function(SOME)
        await page.get_by_text("Arrival to glass").wait_for()
        table = await cells(page)
        assert table["camera"] == [None, None]
        assert (table["whole"][0] or 0) > 100
        assert "does not say when it takes frames" in await page.locator("#glass-note").inner_text()


async def test_the_clocks_of_server_and_browser_need_not_agree(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the server's is an hour ahead of all others."""
    ahead = SimpleNamespace(time=lambda: time.time() + 3600)
    monkeypatch.setattr(latency, "time", ahead)
    async with Broadcast(on_way_s=ON_WAY_S) as broadcast:
        broadcast.broadcaster.traces = FrameTraces(wall=ahead.time)
        async with Server({"camera": broadcast.served}) as server:
            await page.goto(server.url)
            await page.locator("#glass summary").click()
            await page.wait_for_function(SOME)
            await page.get_by_text("Arrival to glass").wait_for()
            table = await cells(page)
    assert table["camera"] == [None, None], "its clock is an hour off"
    assert 0 < (table["display"][0] or 0) < 500


async def test_another_session_has_time_stamps_of_its_own(page: Page) -> None:
    async with Broadcast(on_way_s=ON_WAY_S) as broadcast:
        async with Server({"camera": broadcast.served}) as server:
            await page.goto(server.url)
            await page.locator("#glass summary").click()
            await page.wait_for_function(SOME)
        async with Server({"camera": broadcast.served}, port=server.port):
            await page.wait_for_function("() => window.streamsr.sessions === 2")
            await page.wait_for_function("() => window.streamsr.glass.traces.found.length < 10")
            await page.wait_for_function(SOME)
            table = await cells(page)
    assert 0 < (table["display"][0] or 0) < 500


async def test_a_browser_that_does_not_tell_shows_the_servers_legs(page: Page) -> None:
    """Firefox before 132 knows no time stamps of RTP."""
    await page.add_init_script(NO_FRAME_CALLBACK)
    async with (
        Broadcast(on_way_s=ON_WAY_S) as broadcast,
        Server({"camera": broadcast.served}) as server,
    ):
        await page.goto(server.url)
        await page.locator("#glass summary").click()
        await page.get_by_text("does not tell which frame it shows").wait_for()
        assert await page.get_by_text("Camera to sending").is_visible()
        table = await cells(page)
        assert table["display"] == [None, None]
        assert table["whole"][0] == pytest.approx(130, abs=80)
        assert Leg.SHOWN not in broadcast.broadcaster.traces.legs


@asynccontextmanager
async def node_of(url: str) -> AsyncIterator[str]:
    """A node that upscales a camera; its page's address."""
    stream = {
        "name": "gate",
        "input": {"url": url},
        "model": {"name": "bicubic", "device": "cpu"},
        "output": {"scale": 2},
    }
    settings = {"serve": {"listen": "127.0.0.1:0"}, "streams": [stream]}
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    node = Node(NodeSettings.model_validate(settings), logged_journal())
    run = asyncio.create_task(node.run(listening.set_result))
    try:
        yield await listening
    finally:
        node.stop(Deadline.after())
        await run


@pytest.mark.serial
async def test_of_a_real_camera_all_legs_are_known(
    page: Page, rtsp_camera: Callable[..., RtspCamera], tmp_path: Path
) -> None:
    """Its frames carry their numbers, and it notes when each leaves."""
    log = tmp_path / "left"
    async with node_of(rtsp_camera(log=log).url) as url:
        await page.goto(f"{url}watch/gate")
        await page.wait_for_function(PAIRED)
        await page.locator("#glass summary").click()
        await page.get_by_text("Camera to glass").nth(1).wait_for()  # it has sent a report
        shown_ms = await screenshots(page, 3)
        await page.wait_for_timeout(2500)
        said = await page.evaluate(SAID)
        table = await cells(page)
    left_ms: dict[int, list[float]] = defaultdict(list)
    for line in log.read_text().splitlines():
        number, left_s = line.split()
        left_ms[int(number)].append(1000 * float(left_s))
    errors = []
    for number, shown in shown_ms.items():
        left = max(left for left in left_ms[number] if left < shown)
        captured, whole = min(said, key=lambda frame: abs(1000 * (frame[0] or 0) - left))
        if abs(1000 * captured - left) < FRAME_MS / 2:
            errors.append(whole - (shown - left))
    assert len(errors) > 20
    assert abs(statistics.median(errors)) <= WITHIN_MS, sorted(errors)
    assert 0 <= (table["camera"][0] or -1) < 300
    assert all(median is not None for median, _ in table.values())
