"""HLS out of a folder: the right files, and nothing beside them."""

import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from broadcast import Broadcast
from playlist import make_playlist

from streamsr.serve.app import Server


@pytest.fixture(scope="module")
def playlist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_playlist(tmp_path_factory.mktemp("playlist"))


@pytest.fixture
def folder(playlist: Path, tmp_path: Path) -> Path:
    """A playlist with its segments, and things around them that must not be served."""
    (tmp_path / "secret.mp4").write_text("secret")
    folder = Path(shutil.copytree(playlist, tmp_path / "hls"))
    (folder / "notes.txt").write_text("secret")
    (folder / "out.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "folder.mp4").mkdir()
    (folder / ".hidden.mp4").write_text("secret")
    (folder / "index.m3u8.tmp").write_text("secret")
    return folder


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    served = replace(Broadcast().served, hls=folder)
    async with Server({"camera": served, "other": Broadcast().served}) as server:
        yield server


async def test_playlist_and_segments(
    server: Server, folder: Path, http: aiohttp.ClientSession
) -> None:
    for name, kind in [
        ("index.m3u8", "application/vnd.apple.mpegurl"),
        ("init.mp4", "video/mp4"),
        ("segment_0.m4s", "video/iso.segment"),
    ]:
        async with http.get(f"{server.url}hls/camera/{name}") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == kind
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert await response.read() == (folder / name).read_bytes()


async def test_a_range_beyond_the_end(
    server: Server, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    url, headers = f"{server.url}hls/camera/init.mp4", {"Range": "bytes=1000000-"}
    async with http.get(url, headers=headers) as response:
        assert (response.status, await response.read()) == (416, b"")
    assert caplog.records == []


async def test_ranges(server: Server, folder: Path, http: aiohttp.ClientSession) -> None:
    headers = {"Range": "bytes=10-19"}
    async with http.get(f"{server.url}hls/camera/segment_1.m4s", headers=headers) as response:
        assert response.status == 206
        assert await response.read() == (folder / "segment_1.m4s").read_bytes()[10:20]


async def test_the_playlist_is_always_the_newest(
    server: Server, folder: Path, http: aiohttp.ClientSession
) -> None:
    for text in ("#EXTM3U\n", "#EXTM3U\n#EXT-X-ENDLIST\n"):
        (folder / "index.m3u8").write_text(text)
        async with http.get(f"{server.url}hls/camera/index.m3u8") as response:
            assert await response.text() == text


@pytest.mark.parametrize(
    "path",
    [
        "camera/nothing.m4s",
        "camera/notes.txt",
        "camera/out.mp4",  # a link out of the folder
        "camera/folder.mp4",
        "camera/.hidden.mp4",
        "camera/index.m3u8.tmp",
        "camera/index.m3u8%0a",
        "camera/..%2fsecret.mp4",
        "camera/%2e%2e/secret.mp4",
        "camera/",
        "camera",
        "other/index.m3u8",
        "nothing/index.m3u8",
        "camera/x/index.m3u8",
    ],
)
async def test_all_else_is_not_there(
    server: Server, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.get(f"{server.url}hls/{path}") as response:
        assert response.status == 404
        assert "secret" not in await response.text()


async def test_no_name_gets_out_of_the_folder(
    server: Server, folder: Path, http: aiohttp.ClientSession
) -> None:
    choose = random.Random(5)
    pieces = ["..", ".", "/", "\\", "%", "secret", ".mp4", ".m4s", "out", "\0", "~", "é", "hls"]
    pieces += [str(folder.parent), "%2e%2e", "%2f", "\r\n", " ", "segment_0", "index.m3u8"]
    allowed = {(folder / name).read_bytes() for name in ("index.m3u8", "segment_0.m4s")}
    for _ in range(500):
        name = "".join(choose.choices(pieces, k=choose.randrange(1, 6)))
        path = quote(name, safe="") if choose.random() < 0.7 else quote(name, safe="/%.")
        async with http.get(f"{server.url}hls/camera/{path}", allow_redirects=False) as response:
            body = await response.read()
            assert response.status in (200, 400, 404), path
            assert b"secret" not in body
            assert response.status != 200 or body in allowed, path
