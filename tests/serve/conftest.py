"""Fixtures for the web server's tests."""

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from peers.chromium import FLAGS
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response, async_playwright

LOOPBACK = (  # without a network the browser must reach the server, and not hide its own address
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
# What a server need not have: the page asks, and goes on without.
OPTIONAL = re.compile(r"/api/v1/cameras/[^/]+/recordings$")
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
        viewport={"width": 1280, "height": 800}, ignore_https_errors=True, timezone_id="UTC"
    )
    page = await context.new_page()
    page.set_default_timeout(15_000)
    page.complaints = []
    page.on("console", lambda message: page.complaints.extend(_said(message)))
    page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
    page.on("requestfailed", lambda request: page.complaints.extend(_failed(request)))
    page.on("response", lambda response: page.complaints.extend(_refused(response)))
    yield page
    await context.close()


def _said(message: ConsoleMessage) -> list[str]:
    optional = OPTIONAL.search(message.location["url"])
    return [] if OURS in message.text or optional else [message.text]


def _refused(response: Response) -> list[str]:
    good = response.status < 400 or OPTIONAL.search(response.url)
    return [] if good else [f"{response.status}: {response.url}"]


def _failed(request: Request) -> list[str]:
    """A complaint, unless the page itself gave the request up, as it does when it is left."""
    return [] if "ERR_ABORTED" in (request.failure or "") else [f"failed: {request.url}"]
