"""Fixtures for the web server's tests."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from peers.chromium import FLAGS
from playwright.async_api import Browser, Page, Request, async_playwright

LOOPBACK = (  # without a network the browser must reach the server, and not hide its own address
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
OURS = "Multiple readback operations"  # a warning that reading the canvases brings about


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that gives up after 5 s."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    """One Chromium for all tests that share the event loop of the session."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path, args=[*FLAGS, *LOOPBACK]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a profile of its own that collects its complaints in ``page.complaints``."""
    context = await browser.new_context(
        viewport={"width": 1280, "height": 800}, ignore_https_errors=True
    )
    page = await context.new_page()
    page.set_default_timeout(15_000)
    page.complaints = []
    page.on("console", lambda m: None if OURS in m.text else page.complaints.append(m.text))
    page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
    page.on("requestfailed", lambda request: page.complaints.extend(_failed(request)))
    page.on(
        "response",
        lambda r: page.complaints.append(f"{r.status}: {r.url}") if r.status >= 400 else None,
    )
    yield page
    await context.close()


def _failed(request: Request) -> list[str]:
    """A complaint, unless the page itself gave the request up, as it does when it is left."""
    return [] if "ERR_ABORTED" in (request.failure or "") else [f"failed: {request.url}"]
