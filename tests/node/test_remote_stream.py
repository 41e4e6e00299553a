"""A stream's lives, told by what passes between it and a worker that the test plays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from peers.waiting import until

from streamsr.core.backoff import Backoff
from streamsr.core.events import Code, Event
from streamsr.core.settings import StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.ipc.messages import Kind, Message
from streamsr.node import remote_stream
from streamsr.node.remote_stream import RemoteStream

SETTINGS = StreamSettings.model_validate(
    {"name": "cam", "input": {"url": "demo"}, "model": {"name": "bicubic"}}
)


class Worker:
    """The other side: hears what is said, and says what the test wants."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.there.set()
        self.heard: list[tuple[Kind, str]] = []
        self.obedient = True  # a life ends when it is to
        self.stream: RemoteStream | None = None

    async def ready(self) -> None:
        await self.there.wait()

    def send(self, message: Message) -> None:
        self.heard.append((message.kind, message.stream))
        if message.kind is Kind.STOP and self.obedient:
            self.say(Kind.SUMMARY, summary(7), key=message.stream)

    def say(self, kind: Kind, body: object = None, *, key: str | None = None) -> None:
        assert self.stream is not None
        self.stream.take(Message(kind, key or self.stream.key, body))

    def live(self, frames: int, **more: Any) -> None:
        status = StreamStatus(
            "cam", "live", "bicubic", "cpu", "1x1", "4x4", frames_in=frames, frames_out=frames, **more
        )
        self.say(Kind.STATUS, status)

    def starts(self) -> list[str]:
        return [key for kind, key in self.heard if kind is Kind.START]


def summary(frames: int) -> dict[str, Any]:
    counts = ("frames_in", "frames_out", "frames_dropped", "reconnects")
    return dict.fromkeys(counts, 0) | {"frames_in": frames, "frames_out": frames}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_stream, "STOP_S", 0.05)
    monkeypatch.setattr(remote_stream, "FAILED_S", 0.01)
    monkeypatch.setattr(remote_stream, "Backoff", lambda: Backoff(0.01, 0.01))


@asynccontextmanager
async def running(
    settings: StreamSettings = SETTINGS, *, there: bool = True
) -> AsyncIterator[tuple[RemoteStream, Worker, list[Event]]]:
    worker, events = Worker(), list[Event]()
    if not there:
        worker.there.clear()
    stream = worker.stream = RemoteStream(settings, worker, events.append)
    task = asyncio.create_task(stream.run())
    try:
        async with asyncio.timeout(10):
            yield stream, worker, events
            await stream.stop()
            await task
    finally:
        task.cancel()


async def test_a_life_that_ends_by_itself_is_the_last() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.live(5)
        worker.say(Kind.SUMMARY, summary(9))
        await until(lambda: stream.broadcaster.closed)
        assert stream.summary == summary(9)
        assert worker.starts() == ["cam:1"]


async def test_a_lost_worker_is_followed_by_another_life_and_nothing_is_forgotten() -> None:
    async with running() as (stream, worker, events):
        await until(worker.starts)
        worker.live(100)
        stream.lost()
        await until(lambda: len(worker.starts()) == 2)
        worker.live(20)
        assert stream.status.frames_in == 120
        assert [event.code for event in events] == [Code.STREAM_FAILED]
    assert stream.summary is not None
    assert stream.summary["frames_in"] == 107


async def test_a_stream_that_is_off_stays_off_whatever_its_old_life_says() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.live(100)
        worker.obedient = False
        await stream.enable(False)
        worker.live(130, stalled_s=99.0)
        assert (stream.status.state, stream.status.frames_in) == ("disabled", 100)
        assert stream.status.stalled_s == 0
        worker.say(Kind.SUMMARY, summary(131))
        assert stream.summary is None
        await stream.enable(True)
        await until(lambda: len(worker.starts()) == 2)
        worker.live(1)
        assert (stream.status.state, stream.status.frames_in) == ("live", 101)


async def test_what_changes_while_there_is_no_worker_starts_one_life_later() -> None:
    async with running(there=False) as (stream, worker, _):
        await asyncio.sleep(0.01)
        stream.lost()
        other = SETTINGS.model_copy(update={"enabled": True})
        await stream.restart(other)
        await stream.enable(False)
        await stream.enable(True)
        worker.there.set()
        await until(worker.starts)
        await asyncio.sleep(0.05)
        assert worker.starts() == ["cam:1"]


async def test_stopping_without_a_worker_does_not_wait_for_one() -> None:
    async with running(there=False) as (stream, _, _):
        await asyncio.sleep(0.01)
    assert stream.broadcaster.closed


async def test_a_first_failure_is_final_and_a_later_one_is_not() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.say(Kind.FAILURE, {"message": "no such model", "exit_code": 2})
        await until(lambda: stream.broadcaster.closed)
        assert str(stream.failure) == "no such model"
    async with running() as (stream, worker, _):
        await until(worker.starts)
        worker.live(50)
        stream.lost()
        await until(lambda: len(worker.starts()) == 2)
        worker.say(Kind.FAILURE, {"message": "the folder is away", "exit_code": 2})
        await until(lambda: len(worker.starts()) == 3)
        assert stream.failure is None


async def test_another_model_is_kept_once_the_worker_has_it() -> None:
    async with running() as (stream, worker, _):
        await until(worker.starts)
        stream.use_model("damaged")
        assert stream.settings.model.name == "bicubic"
        stream.use_model("lanczos")
        worker.say(Kind.MODEL, "lanczos")
        assert stream.settings.model.name == "lanczos"
