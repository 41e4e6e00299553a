"""A node with a real worker process: packets, a keyframe on request, a killed worker replaced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest
from peers import MuteServer
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.errors import UserError
from streamsr.core.events import Code, Event
from streamsr.core.events.journal import logged_journal
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import NodeSettings, ServeSettings, StreamSettings
from streamsr.core.status import StreamState
from streamsr.ipc.broadcaster import Broadcaster, Subscription
from streamsr.node.node import Node
from streamsr.node.remote_stream import RemoteStream
from streamsr.node.worker_process import WorkerProcess
from streamsr.sources.opening import file_frames


def settings(url: str = "demo", **more: object) -> StreamSettings:
    return StreamSettings.model_validate(
        {
            "name": "cam",
            "input": {"url": url},
            "model": {"name": "bicubic", "device": "cpu"},
            **more,
        }
    )


@dataclass
class Supervised:
    """A stream, the worker it runs in, and what happened."""

    stream: RemoteStream
    worker: WorkerProcess
    events: list[Event]

    @property
    def broadcaster(self) -> Broadcaster:
        return self.stream.broadcaster


@asynccontextmanager
async def supervised(url: str = "demo", **more: object) -> AsyncIterator[Supervised]:
    events: list[Event] = []
    worker = WorkerProcess("cpu", events.append)
    stream = RemoteStream(settings(url, **more), worker, events.append)
    worker.streams[stream.name] = stream
    working = asyncio.create_task(worker.run())
    running = asyncio.create_task(stream.run())
    try:
        yield Supervised(stream, worker, events)
    finally:
        await stream.stop(Deadline.after(2.5))
        await running
        await worker.stop(Deadline.after(2.5))
        await working


async def next_of(subscription: Subscription, track: str) -> Packet:
    async with asyncio.timeout(20):
        while (packet := await subscription.receive()).track != track:
            pass
    return packet


async def test_all_three_tracks_arrive_and_the_summary_at_the_end() -> None:
    async with supervised() as run:
        subscription = run.broadcaster.subscribe(
            {Track.OUTPUT, Track.INPUT, Track.OPUS}, capacity=1000
        )
        first = await next_of(subscription, Track.OUTPUT)
        assert first.keyframe
        for track in (Track.INPUT, Track.OPUS, Track.OUTPUT):
            await next_of(subscription, track)
    assert run.stream.summary is not None
    assert run.stream.summary.output == "1280x720"
    assert run.stream.summary.frames_in == (
        run.stream.summary.frames_out + run.stream.summary.frames_dropped
    )


async def test_a_keyframe_comes_on_request() -> None:
    async with supervised(encoder={"gop_s": 10}) as run:
        subscription = run.broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        await next_of(subscription, Track.OUTPUT)
        for _ in range(3):
            await next_of(subscription, Track.OUTPUT)
        late = run.broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        asked = monotonic()
        assert (await next_of(late, Track.OUTPUT)).keyframe
        assert monotonic() - asked < 5


async def test_what_a_self_check_found_is_in_the_status() -> None:
    model = {"name": "fast-small", "device": "cpu", "self_check_s": 0.2}
    async with supervised(model=model) as run, asyncio.timeout(30):
        subscription = run.broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        while run.stream.status.self_check_gain_db is None:
            await next_of(subscription, Track.OUTPUT)
        assert run.stream.status.self_check_gain_db > 0
        assert run.stream.status.self_checks["made"] >= 1
        assert not run.stream.status.self_check_loses


async def test_a_killed_worker_is_replaced_and_time_goes_on() -> None:
    async with supervised() as run:
        subscription = run.broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        before = await next_of(subscription, Track.OUTPUT)
        assert run.worker.pid is not None
        os.kill(run.worker.pid, signal.SIGKILL)
        while run.worker.restarts == 0:
            before = await next_of(subscription, Track.OUTPUT)
        after = before
        for _ in range(10):
            packet = await next_of(subscription, Track.OUTPUT)
            assert packet.pts > after.pts
            after = packet
    assert run.worker.restarts == 1


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "rtmp"])
async def test_a_camera_that_says_nothing_holds_up_no_stop(scheme: str) -> None:
    with MuteServer() as mute:
        async with supervised(f"{scheme}://127.0.0.1:{mute.port}/x") as run:
            await until(lambda: mute.connections > 0, 30)
            asked = monotonic()
            await run.stream.stop(Deadline.after(2))
            await run.worker.stop(Deadline.after(4.5))
            assert monotonic() - asked < 5


async def test_a_worker_that_has_not_begun_is_not_waited_for() -> None:
    async with supervised() as run:
        await until(lambda: run.worker.pid is not None, 10)
        asked = monotonic()
        await run.worker.stop(Deadline.after(30))
        assert monotonic() - asked < 2


async def test_a_killed_worker_s_pipe_is_written_on(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)

    def begins() -> bool:
        """Whether a file of Matroska does (EBML), in what has come."""
        with suppress(BlockingIOError):
            return b"\x1aE\xdf\xa3" in os.read(reader, 100_000)
        return False

    async with supervised(output={"path": str(pipe)}) as run:
        await until(begins)
        assert run.worker.pid is not None
        os.kill(run.worker.pid, signal.SIGKILL)
        await until(begins, 30)
    os.close(reader)
    assert os.listdir(tmp_path) == [pipe.name]


async def test_a_killed_worker_leaves_its_recording_and_begins_another(tmp_path: Path) -> None:
    out = tmp_path / "today.mp4"
    async with supervised(output={"path": out}) as run:
        subscription = run.broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        for _ in range(60):
            last = await next_of(subscription, Track.OUTPUT)
        assert run.worker.pid is not None
        os.kill(run.worker.pid, signal.SIGKILL)
        while run.worker.restarts == 0 or run.stream.status.state is not StreamState.LIVE:
            last = await next_of(subscription, Track.OUTPUT)
        for _ in range(10):
            last = await next_of(subscription, Track.OUTPUT)
    assert last.pts > 0
    assert len(list(file_frames(out))) >= 25, "up to its last whole GOP"
    assert len(list(file_frames(tmp_path / "today.2.mp4"))) >= 10
    summary = run.stream.summary
    assert summary is not None
    assert summary.frames_in == summary.frames_out + summary.frames_dropped
    assert summary.frames_in >= 50, "what the dead worker told last, and the new one's"


async def test_stop_during_the_start_is_heard() -> None:
    async with asyncio.timeout(8), supervised():
        await asyncio.sleep(0)  # the process is being made


async def test_an_input_that_is_not_there_stops_the_node() -> None:
    with pytest.raises(UserError, match="no such file"):
        Node(NodeSettings(streams=(settings("nosuch.mp4"),)), logged_journal())


async def test_a_file_served_ends_by_itself(clip: Callable[..., Path]) -> None:
    log = logged_journal()
    serve = ServeSettings(listen="127.0.0.1:0")
    node = Node(NodeSettings(serve=serve, streams=(settings(str(clip())),)), log)
    urls: list[str] = []
    async with asyncio.timeout(30):
        (summary,) = await node.run(urls.append)
    assert summary.frames_out == 100
    assert urls[0].startswith("http://127.0.0.1:")
    assert Code.WORKER_DOWN not in log.counts
