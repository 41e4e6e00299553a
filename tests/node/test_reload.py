"""A node follows its file and SIGHUP."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from peers.mosquitto import free_port
from peers.waiting import until

from streamsr.core.config import load
from streamsr.core.deadline import Deadline
from streamsr.core.events import Code
from streamsr.core.events.journal import Journal, logged_journal
from streamsr.core.settings import NodeSettings
from streamsr.node.node import Node
from streamsr.node.reload import reload_on_change

FILE = """
[[streams]]
name = "yard"
enabled = {enabled}
input = {{ url = "demo" }}
model = {{ name = "bicubic", device = "cpu" }}
"""


def write(path: Path, enabled: str) -> None:
    path.write_text(FILE.format(enabled=enabled), encoding="utf-8")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # whatever the clock's resolution is


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[Node, Journal]]:
    log = logged_journal()

    def read() -> NodeSettings:
        return load(path, NodeSettings)

    node = Node(read(), log)
    run = asyncio.create_task(node.run(lambda url: None))
    reloading = asyncio.create_task(reload_on_change(node, read, path, look_s=0.02))
    try:
        await until(node.cameras, 20)
        yield node, log
    finally:
        reloading.cancel()
        node.stop(Deadline.after())
        await run
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)


async def test_a_changed_file_is_followed_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    write(path, "false")
    async with running(path) as (node, log):
        write(path, "nonsense")
        await until(lambda: log.counts.get(Code.CONFIG_REFUSED), 10)
        assert not node.cameras()["yard"].enabled
        write(path, "true")
        await until(lambda: log.counts.get(Code.CONFIG_RELOADED), 10)
        assert node.cameras()["yard"].enabled


async def test_a_hang_up_has_the_file_read_again(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    write(path, "false")
    async with running(path) as (_, log):
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: log.counts.get(Code.CONFIG_RELOADED), 10)


async def test_a_hang_up_has_tokens_read_again(tmp_path: Path) -> None:
    path, token = tmp_path / "node.toml", tmp_path / "token"
    token.write_text("the-token-that-was")
    write(path, "false")
    serve = f'[serve]\nlisten = "127.0.0.1:0"\ntoken_file = "{token}"\n'
    path.write_text(serve + path.read_text())
    async with running(path) as (_, log):
        token.write_text("the-token-that-is-new")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: log.counts.get(Code.CONFIG_RELOADED, 0) >= 2, 10)
        assert Code.CONFIG_REFUSED not in log.counts


async def test_a_token_that_the_file_leaves_out_counts_no_more(tmp_path: Path) -> None:
    path, wall, port = tmp_path / "node.toml", "the-token-of-the-wall", free_port()
    (tmp_path / "token").write_text("the-token-of-the-house")
    (tmp_path / "wall").write_text(wall)
    write(path, "false")
    streams = path.read_text()
    serve = f'[serve]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{tmp_path}/token"\n'
    tokens = f'tokens = [{{ name = "wall", file = "{tmp_path}/wall" }}]\n'

    async def status() -> int:
        address = f"http://127.0.0.1:{port}/api/streams"
        headers = {"Authorization": f"Bearer {wall}"}
        async with aiohttp.request("GET", address, headers=headers) as response:
            return response.status

    path.write_text(serve + tokens + streams)
    async with running(path) as (_, log):
        assert await status() == 200
        path.write_text(serve + streams)
        await until(lambda: log.counts.get(Code.CONFIG_RELOADED), 10)
        assert await status() == 401
        path.write_text(serve + 'prefer = "hls"\n' + streams)
        await until(lambda: log.counts.get(Code.CONFIG_REFUSED), 10)
