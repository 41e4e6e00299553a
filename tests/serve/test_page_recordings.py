"""Recordings on the page: listed by day, played, seeked, downloaded."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from broadcast import Broadcast
from playwright.async_api import Browser, Page

from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

STAMPS = ("20261128T231000Z", "20261130T101500Z", "20261130T102500Z")
SECONDS = 4
PLAYED = "() => document.getElementById('recording').currentTime > 0.3"


@pytest.fixture
def recordings(tmp_path: Path, clip: Callable[..., Path]) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for stamp in STAMPS:
        path = folder / f"camera-{stamp}.mp4"
        shutil.copy(clip(), path)
        ended = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() + SECONDS
        os.utime(path, (ended, ended))
    return folder


async def test_they_are_listed_played_seeked_and_downloaded(
    page: Page, recordings: Path, tmp_path: Path
) -> None:
    async with Broadcast() as broadcast:
        served = replace(broadcast.served, recordings=recordings)
        async with Server({"camera": served}) as server:
            await page.goto(server.url)
            times = page.locator("#files time")
            await times.nth(1).wait_for()
            assert await times.all_text_contents() == ["10:25:00", "10:15:00"], "the newest first"
            assert await page.locator("#day option").all_text_contents() == [
                "Mon, 30 Nov 2026",
                "Sat, 28 Nov 2026",
            ]
            assert await page.locator("#files [data-part=lasts]").first.text_content() == "0:04"

            await page.get_by_role("button", name="Play 10:15:00").click()
            await page.wait_for_function(PLAYED)
            box = await page.locator("#recording").bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 801, "it is scrolled into view"
            await page.evaluate("() => { document.getElementById('recording').currentTime = 3; }")
            # what follows is played once this one has ended
            await page.wait_for_function(
                "() => document.getElementById('recording').src.includes('T102500Z')"
            )
            await page.wait_for_function(PLAYED)
            assert await page.locator("#files [aria-current] time").text_content() == "10:25:00"

            async with page.expect_download() as found:
                await page.get_by_role("link", name="Download 10:15:00").click()
            download = await found.value
            path = tmp_path / "saved.mp4"
            await download.save_as(path)
            assert download.suggested_filename == "camera-20261130T101500Z.mp4"
            assert path.read_bytes() == (recordings / download.suggested_filename).read_bytes()

            await page.get_by_role("button", name="The day before").click()
            await page.wait_for_function(
                "() => document.querySelector('#files time').textContent === '23:10:00'"
            )
            assert await page.locator("#earlier").is_disabled()
            assert page.complaints == []


async def test_a_camera_without_any_has_no_list(page: Page) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function("() => window.streamsr?.counters.pairs > 5")
        assert await page.locator("#recordings").is_hidden()
        assert page.complaints == []


async def test_days_are_the_viewers(browser: Browser) -> None:
    """In Los Angeles, eight hours behind: a day of UTC lies in two days there."""
    context = await browser.new_context(timezone_id="America/Los_Angeles")
    page = await context.new_page()
    async with Server({"camera": Broadcast().served}) as server:
        await page.goto(f"{server.url}livez")
        found = await page.evaluate(
            """async () => {
              const { dayOf, lasts, localDays, utcDays } = await import("/page/days.js");
              return [dayOf(new Date("2026-11-30T07:59:00Z")), utcDays("2026-11-29"),
                localDays(["2026-11-30", "2026-11-28"]), lasts(65), lasts(3725.9)];
            }"""
        )
    await context.close()
    assert found == [
        "2026-11-29",
        ["2026-11-29", "2026-11-30"],
        ["2026-11-30", "2026-11-29", "2026-11-28", "2026-11-27"],
        "1:05",
        "1:02:05",
    ]
