"""A stream's sessions, by the messages that pass between it and a worker that the test plays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from peers.waiting import until

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import Deadline
from streamsr.core.events import Code, Event
from streamsr.core.settings import StreamSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.ipc.messages import (
    Message,
    ModelInUse,
    Snapshot,
    StartStream,
    StopStream,
    StreamEnded,
    StreamEvent,
    StreamFailed,
    StreamMessage,
    StreamReport,
    TakeSnapshot,
)
from streamsr.node.remote_stream import RemoteStream

SETTINGS = StreamSettings.model_validate(
    {"name": "cam", "input": {"url": "demo"}, "model": {"name": "bicubic"}}
)


def status(frames: int, **more: Any) -> StreamStatus:
    return StreamStatus(
        "cam",
        StreamState.LIVE,
        "bicubic",
        "cpu",
        "1x1",
        "4x4",
        frames_in=frames,
        frames_out=frames,
        **more,
    )


class Worker:
    """The other side: keeps what it was sent, and sends what the test wants."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()
        self.received: list[Message] = []
        self.stops = True  # a session ends when it is told to
        self.stream: RemoteStream | None = None

    def send(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, StopStream) and self.stops:
            self.send_back(StreamEnded(message.key, status(7)))

    def send_back(self, message: StreamMessage) -> None:
        assert self.stream is not None
        self.stream.handle(message)

    def report(self, frames: int, **more: Any) -> None:
        self.send_back(StreamReport(self.key, status(frames, **more)))

    @property
    def key(self) -> str:
        assert self.stream is not None
        return self.stream.key

    def starts(self) -> list[str]:
        return [message.key for message in self.received if isinstance(message, StartStream)]


@asynccontextmanager
async def running(
    settings: StreamSettings = SETTINGS, *, there: bool = True
) -> AsyncIterator[tuple[RemoteStream, Worker, list[Event]]]:
    worker, events = Worker(), list[Event]()
    if not there:
        worker.ready.clear()
    stream = worker.stream = RemoteStream(
        settings, worker, events.append, backoff=Backoff(0.01, 0.01), failed_s=0.01
    )
    task = asyncio.create_task(stream.run())
    try:
        async with asyncio.timeout(10):
            yield stream, worker, events
            await stream.stop(Deadline.after(0.05))
            await task
    finally:
        task.cancel()


async def test_a_session_that_ends_by_itself_is_the_last() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.report(5)
        worker.send_back(StreamEnded(worker.key, status(9)))
        await until(lambda: stream.broadcaster.closed)
        assert stream.summary == status(9)
        assert worker.starts() == ["cam:1"]


async def test_a_lost_worker_is_followed_by_another_session_and_counts_go_on() -> None:
    async with running() as (stream, worker, events):
        await until(worker.starts)
        worker.report(100)
        stream.lost()
        await until(lambda: len(worker.starts()) == 2)
        worker.report(20)
        assert stream.status.frames_in == 120
        assert [event.code for event in events] == [Code.STREAM_FAILED, Code.STREAM_UP]
    assert stream.summary is not None
    assert stream.summary.frames_in == 107


async def test_a_stream_that_is_off_stays_off_whatever_its_last_session_sends() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.report(100)
        worker.stops = False
        await stream.enable(False)
        worker.report(130, stalled_s=99.0)
        assert (stream.status.state, stream.status.frames_in) == ("disabled", 100)
        assert stream.status.stalled_s == 0
        worker.send_back(StreamEnded(worker.key, status(131)))
        assert stream.summary is None
        await stream.enable(True)
        await until(lambda: len(worker.starts()) == 2)
        worker.report(1)
        assert (stream.status.state, stream.status.frames_in) == ("live", 101)


async def test_what_changes_while_there_is_no_worker_starts_one_session_later() -> None:
    async with running(there=False) as (stream, worker, _):
        stream.lost()
        other = SETTINGS.model_copy(update={"enabled": True})
        await stream.restart(other)
        await stream.enable(False)
        await stream.enable(True)
        worker.ready.set()
        await until(worker.starts)
        worker.report(1)
        await stream.stop(Deadline.after(0.05))
        assert worker.starts() == ["cam:1"]


async def test_a_worker_that_is_gone_again_at_once_is_not_sent_a_session() -> None:
    for steps in range(12):  # of the loop, in which it dies
        async with running(there=False) as (stream, worker, _):
            await asyncio.sleep(0)
            worker.ready.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            worker.ready.clear()
            stream.lost()
            sent = len(worker.starts())
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(worker.starts()) == sent, steps


async def test_stopping_without_a_worker_does_not_wait_for_one() -> None:
    async with running(there=False) as (stream, _, _):
        pass
    assert stream.broadcaster.closed


async def test_a_first_failure_is_final_and_a_later_one_is_not() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.send_back(StreamFailed(worker.key, "no such model", 2))
        await until(lambda: stream.broadcaster.closed)
        assert str(stream.failure) == "no such model"
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.report(50)
        stream.lost()
        await until(lambda: len(worker.starts()) == 2)
        worker.send_back(StreamFailed(worker.key, "the folder is away", 2))
        await until(lambda: len(worker.starts()) == 3)
        assert stream.failure is None


def with_model(name: str) -> StreamSettings:
    model = SETTINGS.model.model_copy(update={"name": name})
    return SETTINGS.model_copy(update={"model": model})


async def test_a_model_that_cannot_be_loaded_is_not_begun_with_later() -> None:
    async with running() as (stream, worker, events):
        await until(worker.starts)
        for name in ("damaged", "lanczos", "also-damaged"):
            stream.use_model(with_model(name))
        failed = StreamEvent(worker.key, Event(Code.MODEL_FAILED, "cam", "it is damaged"))
        worker.send_back(failed)
        worker.send_back(ModelInUse(worker.key, "lanczos"))
        assert stream.settings.model.name == "also-damaged", "what was asked for last"
        worker.send_back(failed)
        assert stream.settings.model.name == "lanczos"
        codes = [Code.MODEL_FAILED, Code.MODEL_UP, Code.MODEL_FAILED]
        assert [event.code for event in events] == codes


async def test_a_model_that_was_asked_for_is_begun_with_where_no_session_took_it() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.report(5)
        stream.use_model(with_model("lanczos"))
        stream.lost()  # before it has answered
        await until(lambda: len(worker.starts()) == 2)
        await stream.enable(False)
        stream.use_model(with_model("spline"))
        await stream.enable(True)
        await until(lambda: len(worker.starts()) == 3)
        begun = [m.settings for m in worker.received if isinstance(m, StartStream)]
        models = [StreamSettings.model_validate_json(text).model.name for text in begun]
        assert models == ["bicubic", "lanczos", "spline"]


async def test_a_snapshot_is_for_everyone_who_waits() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        asking = [asyncio.create_task(stream.snapshot()) for _ in range(3)]
        await until(lambda: worker.received.count(TakeSnapshot(worker.key)) == 3)
        asking.pop().cancel()
        worker.send_back(Snapshot(worker.key, b"jpeg"))
        assert await asyncio.gather(*asking) == [b"jpeg"] * 2


async def test_a_snapshot_that_never_comes_is_asked_for_again() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        with pytest.raises(TimeoutError):  # before the first frame a worker has none
            async with asyncio.timeout(0.01):
                await stream.snapshot()
        asking = asyncio.create_task(stream.snapshot())
        await until(lambda: worker.received.count(TakeSnapshot(worker.key)) == 2)
        worker.send_back(Snapshot(worker.key, b"jpeg"))
        assert await asking == b"jpeg"


async def test_without_a_session_there_is_no_snapshot() -> None:
    async with running(there=False) as (stream, _, _):
        with pytest.raises(TimeoutError):
            await stream.snapshot()
