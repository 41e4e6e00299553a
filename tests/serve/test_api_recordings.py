"""Recordings over HTTP: listed by day, played by ranges, downloaded; nothing else of the disk."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from broadcast import Broadcast

from streamsr.serve.app import Server
from streamsr.serve.served import Served

FIRST, SECOND, NEXT_DAY = (
    f"gate-{stamp}.mp4" for stamp in ("20261129T235500Z", "20261129T235500Z-2", "20261130T000500Z")
)
BYTES = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings of ten minutes, one of another camera, and what is none."""
    found = tmp_path / "recordings"
    found.mkdir()
    for number, name in enumerate((FIRST, SECOND, NEXT_DAY, "yard-20261129T235500Z.mp4")):
        path = found / name
        path.write_bytes(BYTES)
        begin = datetime.strptime(name[5:21], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        os.utime(path, (begin + 600 + number, begin + 600 + number))
    (found / "notes.txt").write_text("private")
    (found / f".{NEXT_DAY}.partial").write_bytes(BYTES)
    secret = tmp_path / "secret.mp4"
    secret.write_text("private")
    (found / "gate-20261128T000000Z.mp4").symlink_to(secret)
    return found


@asynccontextmanager
async def serving(folder: Path | None, *, recording: bool = False) -> AsyncIterator[str]:
    broadcast = Broadcast()
    served = Served(
        broadcast.broadcaster, broadcast.status, recordings=folder, recording=lambda: recording
    )
    async with Server({"gate": served}) as server:
        yield f"{server.url}api/v1/cameras/gate/recordings"


async def listed(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(url) as response:
        assert response.status == 200
        return await response.json()


async def test_the_newest_first_with_what_their_names_and_times_say(
    http: aiohttp.ClientSession, folder: Path
) -> None:
    async with serving(folder) as url:
        found = await listed(http, url)
    assert found["days"] == ["2026-11-30", "2026-11-29"]
    assert [recording["file"] for recording in found["recordings"]] == [NEXT_DAY, SECOND, FIRST]
    assert found["recordings"][0] == {
        "file": NEXT_DAY,
        "begin": "2026-11-30T00:05:00Z",
        "seconds": 602.0,
        "bytes": len(BYTES),
        "open": False,
    }


async def test_of_one_day(http: aiohttp.ClientSession, folder: Path) -> None:
    async with serving(folder) as url:
        found = await listed(http, f"{url}?day=2026-11-30")
        assert [recording["file"] for recording in found["recordings"]] == [NEXT_DAY]
        for wrong in ("day=2026-13-01", "day=0", "day=yesterday", "dax=2026-11-30"):
            async with http.get(f"{url}?{wrong}") as response:
                problem = await response.json(content_type="application/problem+json")
                assert (response.status, problem["status"]) == (422, 422)


async def test_a_camera_without_recordings_has_none(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    for folder in (None, tmp_path / "not_yet"):
        async with serving(folder) as url:
            assert await listed(http, url) == {"recordings": [], "days": []}


async def test_the_one_that_is_being_written_is_open(
    http: aiohttp.ClientSession, folder: Path
) -> None:
    os.utime(folder / NEXT_DAY)
    async with serving(folder, recording=True) as url:
        found = await listed(http, url)
    assert [recording["open"] for recording in found["recordings"]] == [True, False, False]


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ({}, 200, BYTES, None),
        ({"Range": "bytes=0-9"}, 206, BYTES[:10], f"bytes 0-9/{len(BYTES)}"),
        ({"Range": "bytes=-5"}, 206, BYTES[-5:], f"bytes 10235-10239/{len(BYTES)}"),
        ({"Range": "bytes=10000-"}, 206, BYTES[10000:], f"bytes 10000-10239/{len(BYTES)}"),
        ({"Range": "bytes=10240-"}, 416, b"", f"bytes */{len(BYTES)}"),
    ],
)
async def test_a_file_or_a_range_of_it(
    http: aiohttp.ClientSession,
    folder: Path,
    asked: dict[str, str],
    status: int,
    body: bytes,
    content_range: str | None,
) -> None:
    async with serving(folder) as url, http.get(f"{url}/{FIRST}", headers=asked) as response:
        assert response.status == status
        assert await response.read() == body
        assert response.headers.get("Content-Range") == content_range
        if status != 416:
            assert response.content_type == "video/mp4"
            assert response.headers["Accept-Ranges"] == "bytes"
            assert response.headers["Content-Disposition"] == f'inline; filename="{FIRST}"'


async def test_a_download_has_its_name(http: aiohttp.ClientSession, folder: Path) -> None:
    async with serving(folder) as url, http.get(f"{url}/{FIRST}?download=1") as response:
        assert response.headers["Content-Disposition"] == f'attachment; filename="{FIRST}"'


async def test_what_did_not_change_is_not_sent_again(
    http: aiohttp.ClientSession, folder: Path
) -> None:
    async with serving(folder) as url:
        async with http.head(f"{url}/{FIRST}") as response:
            assert (response.status, response.content_length) == (200, len(BYTES))
            tag = response.headers["ETag"]
        async with http.get(f"{url}/{FIRST}", headers={"If-None-Match": tag}) as response:
            assert response.status == 304


@pytest.mark.parametrize(
    "name",
    [
        "yard-20261129T235500Z.mp4",  # of another camera
        "notes.txt",
        f".{NEXT_DAY}.partial",
        "gate-20261128T000000Z.mp4",  # a link out of the folder
        "gate-20261127T000000Z.mp4",
        "..%2fsecret.mp4",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "gate-20261129T235500Z.mp4%00.txt",
        "gate-20261129T235500Z.mp4%0a",
    ],
)
async def test_nothing_else_of_the_disk(
    http: aiohttp.ClientSession, folder: Path, name: str, encoded: Callable[[str], Any]
) -> None:
    async with serving(folder) as url, http.get(encoded(f"{url}/{name}")) as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"
        assert "private" not in await response.text()


@pytest.fixture
def encoded() -> Callable[[str], Any]:
    from yarl import URL

    return lambda url: URL(url, encoded=True)
