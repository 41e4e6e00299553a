"""A recording is as long as the clock says, whatever became of its camera meanwhile."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import monotonic, time

import av
import pytest
from peers import RtspCamera
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.events.journal import Journal
from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputState, StreamState
from streamsr.node.camera import Camera
from streamsr.node.worker_process import WorkerProcess

FRAME_S = 1 / 25  # of the built-in camera
AUDIO_S = 1024 / 48_000


@asynccontextmanager
async def camera_running(folder: Path, url: str = "demo") -> AsyncIterator[Camera]:
    settings = StreamSettings.model_validate(
        {
            "name": "cam",
            "input": {"url": url},
            "model": {"name": "bicubic", "device": "cpu", "self_check_s": 0},
            "output": {"size": "320x180"},
            "record": {"folder": folder, "enabled": False, "min_free_gb": 0},
        }
    )
    worker = WorkerProcess("cpu", lambda event: None)
    camera = Camera(settings, worker, Journal())
    worker.streams["cam"] = camera.stream
    working = asyncio.create_task(worker.run())
    running = asyncio.create_task(camera.run())
    try:
        await until(lambda: camera.stream.status.state is StreamState.LIVE, 30)
        yield camera
    finally:
        await camera.stop(Deadline.after())
        await running
        await worker.stop(Deadline.after(2.5))
        await working


async def off_and_on(camera: Camera) -> None:
    await camera.stream.enable(False)
    await asyncio.sleep(2)
    await camera.stream.enable(True)


async def killed(camera: Camera) -> None:
    assert camera.worker.pid is not None
    os.kill(camera.worker.pid, signal.SIGKILL)


def times_of(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        return sorted(
            float(packet.pts * packet.time_base)
            for packet in container.demux(**{kind: 0})
            if packet.size
        )


def checked_gaps(path: Path, lasted_s: float) -> list[float]:
    """Checks that a recording is as long as the clock says, and its audio without a gap; returns
    the seconds between its frames."""
    shown, heard = times_of(path, "video"), times_of(path, "audio")
    assert shown[-1] + FRAME_S == pytest.approx(lasted_s, abs=0.5)
    assert heard[-1] + AUDIO_S == pytest.approx(shown[-1] + FRAME_S, abs=0.05)
    assert max(b - a for a, b in pairwise(heard)) < 2 * AUDIO_S
    gaps = [b - a for a, b in pairwise(shown)]
    assert min(gaps) >= FRAME_S / 2 - 1e-3
    return gaps


@pytest.mark.parametrize("interrupted", [off_and_on, killed])
async def test_wall_clock_and_file_agree(
    tmp_path: Path, interrupted: Callable[[Camera], Awaitable[None]]
) -> None:
    (tmp_path / "rec").mkdir()
    async with camera_running(tmp_path / "rec") as camera:
        await asyncio.sleep(3)  # nobody watches: nothing is encoded
        began, began_at = monotonic(), time()
        await camera.record(True)
        await until(lambda: camera.outputs()[-1].state is OutputState.UP, 15)
        await interrupted(camera)
        await until(lambda: camera.stream.status.state is not StreamState.LIVE, 10)
        await until(lambda: camera.stream.status.state is StreamState.LIVE, 30)
        await asyncio.sleep(2)
        ended = monotonic()
        await camera.record(False)
    (path,) = (tmp_path / "rec").iterdir()
    gaps = checked_gaps(path, ended - began)
    assert sum(gap > 0.5 for gap in gaps) <= 1, "while there was no camera"
    with av.open(str(path)) as container:
        created = datetime.fromisoformat(container.metadata["creation_time"]).astimezone(UTC)
    assert created.timestamp() == pytest.approx(began_at, abs=1.0)


async def test_while_a_camera_is_dead_its_last_frame_is_held_in_silence(
    tmp_path: Path, rtsp_camera: Callable[..., RtspCamera], clip: Callable[..., Path]
) -> None:
    (tmp_path / "rec").mkdir()
    peer = rtsp_camera(clip(width=160, height=90))
    async with camera_running(tmp_path / "rec", peer.url) as camera:
        began = monotonic()
        await camera.record(True)
        await until(lambda: camera.outputs()[-1].state is OutputState.UP, 15)
        peer.kill()
        await until(lambda: camera.stream.status.state is not StreamState.LIVE, 15)
        await asyncio.sleep(3)
        peer.restart()
        await until(lambda: camera.stream.status.state is StreamState.LIVE, 30)
        await asyncio.sleep(1)
        ended = monotonic()
        await camera.record(False)
    (path,) = (tmp_path / "rec").iterdir()
    assert max(checked_gaps(path, ended - began)) < 1, "it is held at its rate"
