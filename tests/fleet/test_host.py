"""A host with its node's process: it runs what it is answered, as long as its lease lasts."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
from peers import RtmpServer
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.lease import Lease, now_ns
from streamsr.fleet.host.host import Host, Identity
from streamsr.fleet.host.machine import exists, is_stopped, when_ended
from streamsr.fleet.host.node_process import NodeProcess
from streamsr.fleet.messages import Assignment, HostReport, Orders
from streamsr.ipc.messages import Message, NodeReport, RunCameras

IDENTITY = Identity("yard", 1, {}, "a machine", 2000.0, 0, os.getpid())


class Link:
    """A controller that answers what it was last told to."""

    def __init__(self, lease_s: float = 3.0) -> None:
        self.orders = Orders(lease_s, (), 1)
        self.reports: list[HostReport] = []
        self.answers = True
        self.down = False

    async def report(self, report: HostReport) -> Orders:
        self.reports.append(report)
        if not self.answers:
            raise ConnectionError("no way to the controller")
        return self.orders

    async def is_down(self) -> bool:
        return self.down

    def assign(self, *cameras: Assignment) -> None:
        self.orders = replace(self.orders, cameras=cameras)

    def states(self) -> dict[str, str]:
        return {camera.name: camera.state for camera in self.reports[-1].cameras}


def camera(name: str, epoch: int = 1, **settings: Any) -> Assignment:
    demo = {"input": {"url": "demo"}, "model": {"name": "bicubic"}}
    return Assignment(name, epoch, {**demo, **settings})


@asynccontextmanager
async def running_host(link: Link, folder: Path) -> AsyncIterator[NodeProcess]:
    node = NodeProcess({"name": "yard"}, folder / "leases", lambda text: None)
    host = Host(IDENTITY, link, node)
    task = asyncio.create_task(host.run())
    try:
        yield node
    finally:
        await host.stop(Deadline.after())
        task.cancel()
        await asyncio.wait({task})


async def until_published(url: str, within_s: float = 60.0) -> None:
    """Wait until a player gets frames at an address. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(is_published, url):
            pass


def is_published(url: str) -> bool:
    try:
        with av.open(url, timeout=(2.0, 2.0)) as container:
            return next(container.demux(video=0)).size > 0
    except (av.FFmpegError, OSError, StopIteration, IndexError):
        return False


async def test_a_host_runs_what_it_is_answered_and_ends_what_it_is_not(
    rtmp_server: RtmpServer, tmp_path: Path
) -> None:
    link = Link()
    async with running_host(link, tmp_path):
        await until(lambda: link.reports)
        assert link.reports[-1].cameras == ()
        link.assign(camera("a", publish=[{"url": rtmp_server.url("a")}]), camera("b", 7))
        await until(lambda: link.states() == {"a": "live", "b": "live"}, 30)
        assert {c.name: c.epoch for c in link.reports[-1].cameras} == {"a": 1, "b": 7}
        await until(lambda: all(c.cost > 0 for c in link.reports[-1].cameras), 10)
        assert link.reports[-1].load >= sum(c.cost for c in link.reports[-1].cameras) - 1
        await until_published(rtmp_server.url("a"), 10)
        link.assign(camera("b", 7), camera("c", model={"name": "no such model"}))
        await until(lambda: set(link.states()) == {"b", "c"}, 15)
        await until(lambda: "no such model" in str(link.reports[-1].cameras), 10)
        assert link.states()["b"] == "live", "one that cannot run disturbs no other"
        link.assign()
        await until(lambda: link.states() == {}, 15)


async def test_a_host_that_is_cut_off_publishes_no_longer_than_its_lease(
    rtmp_server: RtmpServer, tmp_path: Path
) -> None:
    link, url = Link(), rtmp_server.url()
    async with running_host(link, tmp_path) as node:
        link.assign(camera("a", publish=[{"url": url}]))
        await until_published(url)
        link.answers, link.down = False, True
        await asyncio.sleep(2 * link.orders.lease_s)
        assert await asyncio.to_thread(is_published, url), "nobody is there to give it away"
        link.down = False
        await asyncio.sleep(link.orders.lease_s)
        assert not await asyncio.to_thread(is_published, url)
        assert node.restarts == 0, "the node goes on"
        link.answers = True
        await until_published(url, 15)


async def test_a_node_whose_process_dies_is_back(rtmp_server: RtmpServer, tmp_path: Path) -> None:
    link, url = Link(), rtmp_server.url()
    async with running_host(link, tmp_path) as node:
        link.assign(camera("a", publish=[{"url": url}]))
        await until_published(url)
        assert node.pid is not None
        os.kill(node.pid, signal.SIGKILL)
        await until(lambda: node.restarts == 1)
        assert link.states() == {"a": "live"} or link.states() == {"a": "starting"}
        await until_published(url)
        assert len(list((tmp_path / "leases").iterdir())) == 1, "the old one's leases are gone"


async def test_a_host_that_leaves_says_so_until_it_is_heard(tmp_path: Path) -> None:
    """The controller may be starting at that moment."""
    link = Link()
    link.answers = False
    host = Host(IDENTITY, link, NodeProcess({"name": "yard"}, tmp_path, lambda text: None))
    leaving = asyncio.create_task(host.leave())
    await until(lambda: len(link.reports) >= 2)
    assert not leaving.done()
    link.answers = True
    await asyncio.wait_for(leaving, 5)
    assert link.reports[-1].draining
    assert link.reports[-1].cameras == ()


class SilentNode(NodeProcess):
    """Whose process says nothing but what the test does."""

    def __init__(self, folder: Path) -> None:
        super().__init__({"name": "yard"}, folder, self.told)
        self.sent: list[RunCameras] = []
        self.lines: list[str] = []
        self.heard.set()  # a host waits for that

    def told(self, text: str) -> None:
        self.lines.append(text)

    def send(self, message: Message) -> None:
        if isinstance(message, RunCameras):
            self.sent.append(message)

    async def run(self) -> None:
        await self.send_input()
        await asyncio.Event().wait()

    def follows(self) -> None:
        """Says that it has carried out all that it was sent."""
        self.handle(NodeReport((), "", self.sent[-1].number))


@asynccontextmanager
async def silent_host(link: Link, folder: Path) -> AsyncIterator[SilentNode]:
    node = SilentNode(folder / "leases")
    task = asyncio.create_task(Host(IDENTITY, link, node).run())
    yield node
    task.cancel()
    await asyncio.wait({task})


async def test_a_camera_is_reported_until_the_node_has_said_that_it_ended(tmp_path: Path) -> None:
    link = Link()
    async with silent_host(link, tmp_path) as node:
        link.assign(camera("a"))
        await until(lambda: link.reports and "a" in link.states())
        node.follows()
        link.assign()
        await until(lambda: node.sent[-1].cameras == (), 10)
        node.handle(NodeReport((), "", node.sent[-2].number))  # it has not read it yet
        reports = len(link.reports)
        await until(lambda: len(link.reports) > reports, 10)
        assert "a" in link.states(), "it may be publishing until it has"
        node.follows()
        await until(lambda: link.states() == {}, 10)


async def test_a_host_that_cannot_write_leases_says_so_and_goes_on(tmp_path: Path) -> None:
    link = Link()
    async with silent_host(link, tmp_path) as node:
        await until(lambda: link.reports)
        shutil.rmtree(tmp_path / "leases")
        (tmp_path / "leases").write_text("a file is where the folder was")
        link.assign(camera("a"))
        await until(lambda: "lease cannot be written" in str(link.reports[-1].cameras), 10)
        assert link.states() == {"a": "down"}
        assert len([line for line in node.lines if "lease" in line]) == 1
        (tmp_path / "leases").unlink()
        await until(lambda: link.states() == {"a": "starting"}, 10)


async def test_what_all_nodes_are_told_reaches_one_that_runs(tmp_path: Path) -> None:
    link = Link()
    async with silent_host(link, tmp_path) as node:
        link.orders = replace(link.orders, groups={"name": "ours", "webrtc": {"stun": ["a"]}})
        await until(lambda: node.sent and "stun" in node.sent[-1].node, 10)
        assert json.loads(node.sent[-1].node) == {"name": "yard", "webrtc": {"stun": ["a"]}}


async def test_a_host_that_is_frozen_in_part_gives_its_cameras_up(tmp_path: Path) -> None:
    link = Link()
    node = SilentNode(tmp_path / "leases")
    host = Host(IDENTITY, link, node)
    task = asyncio.create_task(host.run())
    await until(lambda: link.reports)
    for frozen in (True, False):
        host.frozen = frozen
        await until(lambda frozen=frozen: link.reports[-1].draining is frozen, 10)
    task.cancel()
    await asyncio.wait({task})


async def test_a_process_that_is_stopped_is_seen() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=PIPE)
    assert not is_stopped(process.pid)
    process.send_signal(signal.SIGSTOP)
    await until(lambda: is_stopped(process.pid), 10)
    process.send_signal(signal.SIGCONT)
    await until(lambda: not is_stopped(process.pid), 10)
    process.kill()
    await process.wait()
    assert not is_stopped(process.pid)


async def test_that_a_process_has_ended_is_told_before_it_is_reaped() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=PIPE) as process:  # noqa: ASYNC220
        ended = when_ended(process.pid)
        await asyncio.sleep(0.1)
        assert not ended.is_set()
        assert exists(process.pid)
        process.kill()
        async with asyncio.timeout(10):
            await ended.wait()
        assert exists(process.pid), "it is there until somebody waits for it"
        process.wait()
        assert not exists(process.pid)


async def test_a_host_whose_raylet_is_gone_lets_go_of_all_at_once(
    rtmp_server: RtmpServer, tmp_path: Path
) -> None:
    link, url = Link(), rtmp_server.url()
    async with running_host(link, tmp_path) as node:
        link.assign(camera("a", publish=[{"url": url}]))
        await until_published(url)
        (lease,) = (tmp_path / "leases").glob("*/a.lease")
        granted = Lease(lease)
        assert granted.holds()
        node.let_go()
        assert not granted.holds()
        node.extend(now_ns() + 60 * 10**9)
        assert not granted.holds(), "whatever else comes"
        await until(lambda: not is_published(url), 20)
