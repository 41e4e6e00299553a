"""Cameras that are changed, by the messages that pass between them and workers the test plays."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from peers.waiting import until

from streamsr.core.config import parse
from streamsr.core.deadline import Deadline
from streamsr.core.events import Code, Emit, Event
from streamsr.core.events.journal import Journal
from streamsr.core.settings import StreamSettings
from streamsr.ipc.messages import Message, StartStream, StopStream, StreamFailed
from streamsr.node.camera_set import CameraSet
from streamsr.node.remote_stream import RemoteStream


def gate(url: str = "demo", *, enabled: bool = True, **model: str) -> StreamSettings:
    given = {"name": "bicubic", "device": "cpu"} | model
    data = {"name": "gate", "enabled": enabled, "input": {"url": url}, "model": given}
    return parse(data, StreamSettings, "test")


class Worker:
    """The other side: keeps what it was sent, and ends sessions when told to."""

    def __init__(self, device: str, emit: Emit) -> None:
        self.device = device
        self.emit = emit
        self.ready = asyncio.Event()
        self.ready.set()
        self.streams: dict[str, RemoteStream] = {}
        self.received: list[Message] = []
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        await self.stopped.wait()

    async def stop(self, deadline: Deadline) -> None:
        self.stopped.set()

    def send(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, StopStream):
            for stream in self.streams.values():
                stream.handle(StreamFailed(message.key, "stopped", None))

    def starts(self) -> list[StreamSettings]:
        found = [m for m in self.received if isinstance(m, StartStream)]
        return [StreamSettings.model_validate_json(start.settings) for start in found]


class Played:
    """Cameras, their journal and the workers they had."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.cameras = CameraSet(self.journal, lambda: None, worker_of=self.worker)
        self.workers: list[Worker] = []

    def worker(self, device: str, emit: Emit) -> Worker:
        self.workers.append(Worker(device, emit))
        return self.workers[-1]

    async def started(self, wanted: Callable[[StreamSettings], object] = bool) -> None:
        """Waits until the newest session is begun by such settings."""
        await until(lambda: any(wanted(start) for start in self.workers[-1].starts()[-1:]), 10)


@pytest.fixture
async def played(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Played]:
    play = Played()
    monkeypatch.setattr("streamsr.core.devices.count_cuda_devices", lambda: 1)
    yield play
    await play.cameras.stop(Deadline.after(1))


async def test_a_camera_becomes_one_that_is_published_and_back(played: Played) -> None:
    played.cameras.begin(gate("whip"))
    await played.started(lambda s: s.input.url.startswith("whip+http"))
    await played.cameras.change(gate("rtsp://10.0.0.9/live"))
    assert played.cameras.served["gate"].publish_point is None
    await played.started(lambda s: s.input.url == "rtsp://10.0.0.9/live")
    await played.cameras.change(gate("whip"))
    assert played.cameras.served["gate"].publish_point is not None
    await played.started(lambda s: s.input.url.startswith("whip+http"))


async def test_a_camera_on_another_device_runs_in_its_worker(played: Played) -> None:
    played.cameras.begin(gate())
    await played.started()
    await played.cameras.change(gate(device="cuda:0"))
    await played.started(lambda s: s.model.device == "cuda:0")
    assert [(w.device, w.stopped.is_set()) for w in played.workers] == [
        ("cpu", True),
        ("cuda:0", False),
    ]


async def test_a_worker_that_is_needed_no_more_is_no_trouble_of_the_node(played: Played) -> None:
    played.cameras.begin(gate())
    await played.started()
    played.journal(Event(Code.WORKER_DOWN, "", "it ended", "cpu"))
    assert [c.code for c in played.journal.standing("", None)] == [Code.WORKER_DOWN]
    await played.cameras.change(gate(device="cuda:0"))
    assert not list(played.journal.standing("", None))


async def test_what_a_camera_tells_at_its_end_is_not_of_the_next_of_its_name(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.cameras.begin(gate())
    camera = played.cameras["gate"]
    run = camera.run

    async def ending() -> None:
        await run()
        await asyncio.sleep(0.01)
        raise RuntimeError("at its end")

    monkeypatch.setattr(camera, "run", ending)
    await played.started()
    await played.cameras.remove("gate")
    assert played.journal.counts[Code.STREAM_FAILED] == 1
    assert not list(played.journal.standing("gate", None))
