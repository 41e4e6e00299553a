"""A node with a real worker process: packets, a keyframe on request, a killed worker replaced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from streamsr.errors import UserError
from streamsr.events import Code, Event
from streamsr.hub import Subscription
from streamsr.node import Node
from streamsr.packet import AUDIO, INPUT, OUTPUT, Packet
from streamsr.settings import PipelineSettings, ServeSettings
from streamsr.supervisor import Supervisor


def settings(url: str = "demo", **more: object) -> PipelineSettings:
    return PipelineSettings.model_validate(
        {
            "name": "cam",
            "input": {"url": url},
            "model": {"name": "bicubic", "device": "cpu"},
            **more,
        }
    )


@asynccontextmanager
async def supervised(url: str = "demo", **more: object) -> AsyncIterator[Supervisor]:
    events: list[Event] = []
    worker = Supervisor(settings(url, **more), events.append)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.stop()
        await running


async def next_of(subscription: Subscription, track: str) -> Packet:
    async with asyncio.timeout(20):
        while (packet := await subscription.receive()).track != track:
            pass
    return packet


async def test_all_three_tracks_arrive_and_the_summary_at_the_end() -> None:
    async with supervised() as worker:
        subscription = worker.hub.subscribe({OUTPUT, INPUT, AUDIO}, capacity=1000)
        first = await next_of(subscription, OUTPUT)
        assert first.keyframe
        for track in (INPUT, AUDIO, OUTPUT):
            await next_of(subscription, track)
    assert worker.summary is not None
    assert worker.summary["output"] == "1280x720"
    assert worker.summary["frames_in"] == (
        worker.summary["frames_out"] + worker.summary["frames_dropped"]
    )


async def test_a_keyframe_comes_on_request() -> None:
    async with supervised(encoder={"gop_s": 10}) as worker:
        subscription = worker.hub.subscribe({OUTPUT}, capacity=1000)
        await next_of(subscription, OUTPUT)
        for _ in range(3):
            await next_of(subscription, OUTPUT)
        late = worker.hub.subscribe({OUTPUT}, capacity=1000)
        asked = monotonic()
        assert (await next_of(late, OUTPUT)).keyframe
        assert monotonic() - asked < 1


async def test_a_killed_worker_is_replaced_and_time_goes_on() -> None:
    async with supervised() as worker:
        subscription = worker.hub.subscribe({OUTPUT}, capacity=1000)
        before = await next_of(subscription, OUTPUT)
        process = worker._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        while worker.restarts == 0:
            before = await next_of(subscription, OUTPUT)
        after = before
        for _ in range(10):
            packet = await next_of(subscription, OUTPUT)
            assert packet.pts > after.pts
            after = packet
    assert worker.restarts == 1


async def test_an_input_that_is_not_there_stops_the_node() -> None:
    with pytest.raises(UserError, match="no such file"):
        Node([settings("nosuch.mp4")], None, lambda event: None)


async def test_a_file_served_ends_by_itself(clip: Callable[..., Path]) -> None:
    events: list[Event] = []
    node = Node([settings(str(clip()))], ServeSettings(listen="127.0.0.1:0"), events.append)
    urls: list[str] = []
    async with asyncio.timeout(30):
        (summary,) = await node.run(urls.append)
    assert summary["frames_out"] == 100
    assert urls[0].startswith("http://127.0.0.1:")
    assert Code.WORKER_DOWN not in {event.code for event in events}
