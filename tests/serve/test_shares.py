"""What is there for all: one client does not take it all, nor one that takes nothing for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from peers import Studio
from test_live_socket import served

from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import TrustedProxies
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.access.shares import Shares
from streamsr.serve.app import Server

FILE = "cam-20261129T235500Z.mp4"
ONE, OTHER = ({"X-Forwarded-For": f"192.0.2.{number}"} for number in (1, 2))


@asynccontextmanager
async def site(folder: Path | None = None) -> AsyncIterator[str]:
    access = Access(proxies=TrustedProxies(["127.0.0.1"]))
    limits = ServerLimits(viewers=2)
    async with Studio() as studio:
        streams = {"cam": replace(served(studio), recordings=folder)}
        async with Server(streams, access=access, limits=limits) as server:
            server.feed._shares = Shares(4)
            yield server.url


def test_half_is_for_one_client_and_all_for_this_machine() -> None:
    shares = Shares(4)
    with shares.hold("a"):
        assert not shares.full("a")
        with shares.hold("a"):
            assert shares.full("a")
            assert not shares.full("b")
            assert not shares.full("127.0.0.1")
            with shares.hold("127.0.0.1"), shares.hold("127.0.0.1"):
                assert shares.full("127.0.0.1")
                assert shares.full("b")
    assert len(shares) == 0
    assert not Shares(1).full("a")


@pytest.mark.parametrize("path", ["api/v1/events", "live/cam"])
async def test_others_find_some_left(http: aiohttp.ClientSession, path: str) -> None:
    status = 429 if path.startswith("api") else 503

    async def answered(headers: dict[str, str], left: AsyncExitStack) -> int:
        try:
            if path.startswith("live"):
                await left.enter_async_context(http.ws_connect(url, headers=headers))
                return 200
            response = await left.enter_async_context(http.get(url, headers=headers))
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        return response.status

    async with site() as root, AsyncExitStack() as left:
        url = f"{root}{path}"
        assert [await answered(ONE, left) for _ in range(3)] == [200, 200, status]
        assert [await answered(OTHER, left) for _ in range(3)] == [200, 200, status]


async def paused(url: str, headers: dict[str, str]) -> tuple[int, asyncio.StreamWriter]:
    """Asks for a file and takes its head alone; returns the status, and what keeps it open."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    reader, writer = await asyncio.open_connection(host, port, limit=1024)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {urlsplit(url).path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
    return int((await reader.readline()).split()[1]), writer


async def test_players_that_are_paused_hold_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsr.serve.api.recordings.MOST_SENT", 4)
    monkeypatch.setattr("streamsr.serve.files.STALLED_S", 1.0)
    (tmp_path / FILE).write_bytes(bytes(30_000_000))
    async with site(tmp_path) as root:
        url = f"{root}api/v1/cameras/cam/recordings/{FILE}"
        found = [await paused(url, headers) for headers in (ONE, ONE, ONE, OTHER)]
        assert [status for status, _ in found] == [200, 200, 429, 200]
        async with asyncio.timeout(15):
            status = 429
            while status == 429:
                status, writer = await paused(url, ONE)
                found.append((status, writer))
                await asyncio.sleep(0.1)
        for _, writer in found:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({}, 200),
    ],
)
async def test_events_are_for_our_own_pages(
    http: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    async with site() as root, http.get(f"{root}api/v1/events", headers=headers) as response:
        assert response.status == status
