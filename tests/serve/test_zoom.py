"""Digital zoom, the divider and full screen, in a real browser."""

import asyncio
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pytest_asyncio
from broadcast import Broadcast
from numpy.typing import NDArray
from playwright.async_api import CDPSession, Page

from streamsr.serve.app import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

PAIRED = "() => window.streamsr?.counters.pairs > 5"
# Where a canvas lies behind its window: (scale, left, top) in shares of the window.
LIES = """(id) => {
  const canvas = document.getElementById(id);
  const inner = canvas.getBoundingClientRect();
  const outer = canvas.parentElement.getBoundingClientRect();
  return [inner.width / outer.width, (inner.left - outer.left) / outer.width,
    (inner.top - outer.top) / outer.height, outer.width, outer.height];
}"""
# A scene that is still and sharp on both, at their own resolutions: what differs is out of step.
DRAW = """() => {
  for (const id of ["before", "after"]) {
    const canvas = document.getElementById(id), context = canvas.getContext("2d");
    context.drawImage = () => {};
    context.fillStyle = "black";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = "white";
    for (let x = 0; x < 20; x += 1) for (let y = x % 2; y < 12; y += 2) {
      context.fillRect((x * canvas.width) / 20, (y * canvas.height) / 10,
        canvas.width / 20, canvas.height / 10);
    }
  }
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def watched(page: Page) -> Any:
    """A page that plays, and that has had no complaint at the end."""
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        await page.goto(server.url)
        await page.wait_for_function(PAIRED)
        yield page
        assert page.complaints == []


async def lies(page: Page) -> tuple[list[float], list[float]]:
    before, after = [await page.evaluate(LIES, name) for name in ("before", "after")]
    return before, after


async def in_step(page: Page, scale: float) -> list[float]:
    """Both show the same part, to a hundredth of a pixel; returns where it lies."""
    before, after = await lies(page)
    assert before == pytest.approx(after, abs=1e-4)
    assert after[0] == pytest.approx(scale, rel=1e-3)
    return after


async def centre(page: Page, name: str) -> tuple[float, float, dict[str, float]]:
    box = await page.locator(f"figure.{name}").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, dict(box)


async def test_zoom_keeps_both_in_step_to_the_pixel(watched: Page, tmp_path: Path) -> None:
    x, y, box = await centre(watched, "before")
    point = x + box["width"] / 4, y - box["height"] / 4
    await watched.mouse.move(*point)
    for _ in range(40):
        if (await lies(watched))[1][0] >= 4:
            break
        await watched.mouse.wheel(0, -40)
        await asyncio.sleep(0.03)
    scale = (await lies(watched))[1][0]
    assert 4 <= scale < 4.5
    _, left, top, _, _ = await in_step(watched, scale)
    # the point under the cursor has stayed to a pixel: it is 3/4 and 1/4 of the frame
    assert (0.75 - left) / scale == pytest.approx(0.75, abs=1 / box["width"])
    assert (0.25 - top) / scale == pytest.approx(0.25, abs=1 / box["height"])

    await watched.evaluate(DRAW)
    shots = [await grey(watched, name, tmp_path) for name in ("before", "after")]
    assert shots[0].shape == shots[1].shape
    lines = [edges(shot) for shot in shots]
    assert len(lines[0]) == len(lines[1]) > 2
    assert np.abs(np.subtract(*lines)).max() <= 1, "edges are at the same pixels"


async def grey(page: Page, name: str, folder: Path) -> NDArray[np.uint8]:
    path = folder / f"{name}.png"
    await page.locator(f"figure.{name}").screenshot(path=path)
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def edges(shot: NDArray[np.uint8]) -> list[float]:
    """Where white begins or ends along a line in the middle, in pixels; labels are elsewhere."""
    line = shot[shot.shape[0] // 2].astype(float) - 128
    (at,) = np.nonzero(line[:-1] * line[1:] < 0)
    return [float(i + line[i] / (line[i] - line[i + 1])) for i in at]


async def test_it_is_clamped_to_the_edges_and_to_eight_times(watched: Page) -> None:
    x, y, box = await centre(watched, "after")
    await watched.mouse.move(box["x"] + 2, box["y"] + 2)
    for _ in range(40):
        await watched.mouse.wheel(0, -200)
    await watched.wait_for_function("() => document.getElementById('nearer').disabled")
    _, left, top, _, _ = await in_step(watched, 8)
    assert (left, top) == pytest.approx((0, 0), abs=0.05)
    for _ in range(40):  # drags far beyond the edge
        await watched.mouse.move(x, y)
        await watched.mouse.down()
        await watched.mouse.move(box["x"] + 1, box["y"] + 1, steps=2)
        await watched.mouse.up()
    _, left, top, _, _ = await in_step(watched, 8)
    assert (left, top) == pytest.approx((-7, -7), abs=1e-6)


async def test_keys_zoom_and_move(watched: Page) -> None:
    for _ in range(3):
        await watched.keyboard.press("+")
    scale = 1.25**3
    _, left, _, _, _ = await in_step(watched, scale)
    assert await watched.locator("#whole span").text_content() == "2.0\u00d7"
    await watched.keyboard.press("ArrowRight")
    _, moved, _, _, _ = await in_step(watched, scale)
    assert moved == pytest.approx(left - 0.1, abs=1e-3)
    await watched.keyboard.press("-")
    await in_step(watched, scale / 1.25)
    await watched.keyboard.press("0")
    assert await in_step(watched, 1) == pytest.approx((await lies(watched))[0])
    await watched.keyboard.press("ArrowRight")
    await in_step(watched, 1)


async def test_the_divider_lies_between_zoomed_frames(watched: Page) -> None:
    await watched.keyboard.press("s")
    x, y, box = await centre(watched, "after")
    await watched.mouse.move(x, y)
    await watched.mouse.down()
    await watched.mouse.move(box["x"] + box["width"] / 4, y, steps=4)
    await watched.mouse.up()
    assert float(await watched.locator("#split").input_value()) == pytest.approx(25, abs=1)
    await watched.mouse.dblclick(x, y)
    start = await in_step(watched, 3)
    await watched.mouse.move(x, y)  # away from the divider a drag moves the frames ...
    await watched.mouse.down()
    await watched.mouse.move(x + 60, y, steps=4)
    await watched.mouse.up()
    assert float(await watched.locator("#split").input_value()) == pytest.approx(25, abs=1)
    moved = await in_step(watched, 3)
    assert (moved[1] - start[1]) * box["width"] == pytest.approx(60, abs=1)
    await watched.mouse.move(box["x"] + box["width"] / 4 + 3, y)  # ... and on it the divider
    await watched.mouse.down()
    await watched.mouse.move(x, y, steps=4)
    await watched.mouse.up()
    assert float(await watched.locator("#split").input_value()) == pytest.approx(50, abs=1)
    assert (await in_step(watched, 3))[1] == pytest.approx(moved[1])
    await watched.keyboard.press("Shift+ArrowLeft")  # the range has the focus
    assert (await in_step(watched, 3))[1] > moved[1]
    await watched.mouse.dblclick(x, y)
    await in_step(watched, 1)


async def touch(session: CDPSession, kind: str, *points: tuple[float, float]) -> None:
    found = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
    await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": found})


async def test_two_fingers_pinch(watched: Page) -> None:
    session = await watched.context.new_cdp_session(watched)
    x, y, box = await centre(watched, "before")
    await touch(session, "touchStart", (x - 20, y))
    await touch(session, "touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 11):
        await touch(session, "touchMove", (x - 20 - 4 * step, y), (x + 20 + 4 * step, y))
    # moves are handled with the browser's next frame
    await watched.wait_for_function(f"() => ({LIES})('after')[0] > 2.999")
    await in_step(watched, 3)
    for step in range(1, 11):  # both go to the right
        await touch(session, "touchMove", (x - 60 + 5 * step, y), (x + 60 + 5 * step, y))
    await touch(session, "touchEnd")
    await watched.wait_for_function(f"() => ({LIES})('after')[1] > -0.925")
    _, left, _, _, _ = await in_step(watched, 3)
    assert (left + 1) * box["width"] == pytest.approx(50, abs=5)


@pytest.mark.parametrize("view", ["side", "split"])
async def test_full_screen_without_the_browsers(watched: Page, view: str) -> None:
    await watched.evaluate(
        "() => { delete Element.prototype.requestFullscreen; "
        "delete Element.prototype.webkitRequestFullscreen; }"
    )
    await watched.set_viewport_size({"width": 390, "height": 844})
    if view == "split":
        await watched.keyboard.press("s")
    await watched.locator("#full").click()
    assert await watched.locator("#stage").bounding_box() == {
        "x": 0,
        "y": 0,
        "width": 390,
        "height": 844,
    }
    box = await watched.locator("#after").bounding_box()
    assert box is not None
    assert box["width"] == pytest.approx(390, abs=1)
    assert await watched.locator("#full").is_visible()
    assert await watched.locator("header").evaluate("(e) => e.inert"), "not reached by Tab"
    await watched.set_viewport_size({"width": 844, "height": 390})
    box = await watched.locator("#after").bounding_box()
    assert box is not None
    assert max(box["width"] / 844 * (1 if view == "split" else 2), box["height"] / 390) > 0.98
    await watched.keyboard.press("Escape")
    assert not await watched.locator("header").evaluate("(e) => e.inert")
    assert (await watched.locator("#stage").bounding_box() or {})["height"] != 390


async def test_a_snapshot_is_the_upscaled_frame(watched: Page, tmp_path: Path) -> None:
    async with watched.expect_download() as found:
        await watched.locator("#snapshot").click()
    download = await found.value
    assert download.suggested_filename.startswith("camera-2")
    path = tmp_path / "snapshot.png"
    await download.save_as(path)
    assert cv2.imread(str(path)).shape == (360, 640, 3)
