"""A node that runs for hours, with a camera, HLS, a recording and a viewer: nothing grows."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from node.test_node_cameras import Watcher, running
from peers import RtspCamera
from peers.waiting import until

from soak import Usage, counts, figure
from streamsr.core.events import Code

Camera = Callable[..., RtspCamera]


def children(pid: int) -> Iterator[int]:
    """The processes that ``pid`` has started, and theirs."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
            yield int(child)
            yield from children(int(child))


@counts(6, 3600, hours=2)
async def test_a_node_grows_no_more_once_it_runs(
    rtsp_camera: Camera, clip: Callable[..., Path], tmp_path: Path, count: int
) -> None:
    """For so many seconds, of which the first fifth is its start."""
    stream = {
        "name": "cam",
        "input": {"url": rtsp_camera(clip(width=160, height=90)).url},
        "hls": {"folder": tmp_path / "hls"},
        "record": {"folder": tmp_path / "recordings", "segment_s": max(2, count / 20)},
    }
    async with running(stream) as (node, log):
        watcher = Watcher(node, "cam")
        await watcher.more(10, 20)
        await asyncio.sleep(count / 5)
        pids = [os.getpid(), *(pid for pid in children(os.getpid()) if _is_ours(pid))]
        before, seen = Usage.of(*pids), len(watcher.numbers)
        await asyncio.sleep(count * 4 / 5)
        after, shown = Usage.of(*pids), len(watcher.numbers) - seen
        status = node.served["cam"].status()
    figure("a node that runs", f"{count} s: {before}, then {after}; {shown} frames of {20 * count}")
    if count > 60:
        before.assert_flat(after)
    assert status.frames_in - status.frames_out - status.frames_dropped <= 60, "in = out + dropped"
    assert not [code for code in log.counts if code.endswith("_DOWN")]


@counts(1, 50)
async def test_a_worker_that_is_killed_is_soon_replaced(
    rtsp_camera: Camera, clip: Callable[..., Path], count: int
) -> None:
    stream = {"name": "cam", "input": {"url": rtsp_camera(clip(width=160, height=90)).url}}
    took_s = []
    async with running(stream) as (node, log):
        watcher = Watcher(node, "cam")
        await watcher.more(10, 20)
        for done in range(count):
            (worker,) = (pid for pid in children(os.getpid()) if b".worker.main" in command(pid))
            os.kill(worker, signal.SIGKILL)
            await until(lambda n=done: log.counts.get(Code.WORKER_DOWN, 0) > n)
            took_s.append(await watcher.more(5, 60))
    figure("kills of a worker", f"{count}: upscaled again within {max(took_s):.1f} s")
    assert max(took_s) <= 40  # 10 on a machine that has nothing else to do


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _is_ours(pid: int) -> bool:
    return b"streamsr" in command(pid)
