"""Both pages as assistive technology and the keyboard find them, at the sizes of a desktop and of a
phone, upright and on its side."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from broadcast import Broadcast
from playwright.async_api import Page

from streamsr.core.status import OutputState, OutputStatus, StreamState
from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

SIZES = [(1280, 800), (844, 390), (390, 844)]
PAIRED = "() => window.streamsr?.counters.pairs > 5"
SEEN = ("critical", "serious", "moderate")
# Elements that a finger must hit, smaller than WCAG 2.2 allows (2.5.8), and what is too wide.
SMALL = """() => [...document.querySelectorAll("button, a, select")].filter((element) => {
  const { width, height } = element.getBoundingClientRect();
  return width && (width < 24 || height < 24);
}).map((element) => element.outerHTML)"""
TOO_WIDE = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(params=SIZES, ids=lambda size: "{}x{}".format(*size))
def window(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@asynccontextmanager
async def opened(
    page: Page, window: tuple[int, int], folder: Path, clip: Callable[..., Path]
) -> AsyncIterator[Broadcast]:
    """The page of a camera with all that there may be on it."""
    shutil.copy(clip(), folder / "camera-20261130T101500Z.mp4")
    outputs = [
        OutputStatus("rtsp", "rtsp://server/camera", OutputState.UP),
        OutputStatus("record", "/video", OutputState.DOWN, reason="the disk is full", dropped=3),
    ]
    await page.set_viewport_size({"width": window[0], "height": window[1]})
    async with Broadcast() as broadcast:
        served = replace(broadcast.served, outputs=lambda: outputs, hls=folder, recordings=folder)
        async with Server({"camera": served}) as server:
            await page.goto(server.url)
            await page.wait_for_function(PAIRED)
            await page.locator("#files time").first.wait_for()
            yield broadcast


async def findings(page: Page) -> list[str]:
    results = await Axe().run(page)
    found = [v for v in results.response["violations"] if v["impact"] in SEEN]
    return [f"{v['id']} ({v['impact']}): {n['html'][:120]}" for v in found for n in v["nodes"]]


async def test_axe_finds_nothing(
    page: Page, window: tuple[int, int], tmp_path: Path, clip: Callable[..., Path]
) -> None:
    async with opened(page, window, tmp_path, clip) as broadcast:
        await page.locator("#glass summary").click()
        await page.locator("#glass-note:not(:empty)").wait_for()
        assert await findings(page) == []
        assert await page.evaluate(TOO_WIDE) <= 0
        assert await page.evaluate(SMALL) == []
        await page.keyboard.press("s")
        await page.keyboard.press("+")
        assert await findings(page) == []
        broadcast.state, broadcast.message = StreamState.DOWN, "the password is wrong"
        await page.locator("#banner").wait_for()
        assert await findings(page) == []
        await page.keyboard.press("f")
        await page.locator("#stage[data-full]").wait_for()
        assert await findings(page) == []


async def test_axe_finds_nothing_on_the_wall(page: Page, window: tuple[int, int]) -> None:
    await page.set_viewport_size({"width": window[0], "height": window[1]})
    idle = Broadcast()
    idle.state, idle.message = StreamState.DOWN, "the password is wrong"
    async with (
        Broadcast() as broadcast,
        Server({"front": broadcast.served, "yard": idle.served}) as server,
    ):
        await page.goto(server.url)
        await page.locator(".camera[data-playing]").wait_for()
        assert await findings(page) == []
        assert await page.evaluate(TOO_WIDE) <= 0
        assert await page.evaluate(SMALL) == []


async def test_many_cameras_leave_room_for_the_video_on_a_phone(page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    async with Broadcast() as broadcast:
        streams = {f"camera {n}": broadcast.served for n in range(12)}
        async with Server(streams) as server:
            await page.goto(f"{server.url}watch/camera%2011")
            await page.wait_for_function(PAIRED)
            current = page.locator("nav [aria-current]")
            box = await current.bounding_box()
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 390, "it is scrolled into view"
            assert (await page.locator("header").bounding_box() or {})["height"] < 60
            assert await page.evaluate(TOO_WIDE) <= 0
            assert await findings(page) == []


async def test_tab_goes_through_the_page_in_order(
    page: Page, tmp_path: Path, clip: Callable[..., Path]
) -> None:
    async with opened(page, SIZES[0], tmp_path, clip):
        await page.wait_for_function("() => !document.getElementById('mute').disabled")
        found = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            found.append(await page.evaluate("() => document.activeElement.id"))
            assert await page.evaluate(
                "() => getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            )
    stream, glass, play = "", "", ""  # links, buttons of a list and a summary have no names
    view = ["view", "nearer", "mute", "snapshot", "float", "full"]  # there is no zoom to take back
    assert found == ["home", stream, *view, "hls", glass, "day", play]
