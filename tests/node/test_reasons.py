"""Every camera and output that is not well says why, since when, and what is being done."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from peers.tcp import MuteServer, RefusingServer
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.events import Code, Event
from streamsr.core.events.codes import EventKind
from streamsr.core.events.journal import Journal
from streamsr.core.settings import NodeSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.node.node import Node

REASONS = {  # by camera: the code, and words of its reason
    "refused": ("SRC_DOWN", "nothing listens at 127.0.0.1 port 1"),
    "nowhere": ("SRC_DOWN", "nosuch.invalid"),
    "silent": ("SRC_DOWN", "no answer for 10 s"),
    "locked": ("SRC_AUTH", "refuses the user name or password"),
    "unknown": ("SRC_DOWN", "no stream at its path"),
}


class Run:
    """A node, and what its journal told."""

    def __init__(self, streams: list[dict[str, Any]]) -> None:
        self.told: list[Event] = []
        self.journal = Journal()
        self.journal.listeners.append(self.told.append)
        self.node = Node(NodeSettings.model_validate({"streams": streams}), self.journal)

    def status(self, name: str) -> StreamStatus:
        return self.node.cameras()[name].status

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.node.run(lambda url: None))
        try:
            await until(self.node.cameras)
            yield
        finally:
            self.node.stop(Deadline.after())
            await task


def stream(name: str, url: str = "demo", **more: Any) -> dict[str, Any]:
    return {"name": name, "input": {"url": url}, "model": {"name": "bicubic"}, **more}


@pytest.mark.timeout(120)
async def test_each_camera_that_does_not_come_says_why() -> None:
    with MuteServer() as mute, RefusingServer(401) as locked, RefusingServer(404) as unknown:
        urls = {
            "refused": "rtsp://127.0.0.1:1/cam",
            "nowhere": "rtsp://nosuch.invalid/cam",
            "silent": f"rtsp://127.0.0.1:{mute.port}/cam",
            "locked": f"rtsp://me:canary@127.0.0.1:{locked.port}/cam",
            "unknown": f"rtsp://127.0.0.1:{unknown.port}/cam",
        }
        began = datetime.now(UTC)
        run = Run([stream(name, url) for name, url in urls.items()])
        async with run.running():
            for name, (code, words) in REASONS.items():

                def is_told(name: str = name, code: str = code) -> bool:
                    status = run.status(name)
                    return (status.code, status.state) == (code, StreamState.DOWN)

                await until(is_told, 60)
                status = run.status(name)
                assert words in status.reason
                assert status.reason in status.message
                assert status.doing.startswith("tried again every ")
                assert began < datetime.fromisoformat(status.since) < datetime.now(UTC)
                assert not status.had_frame
                assert "canary" not in status.message
            told = [(event.subject, event.code.value) for event in run.told]
        assert sorted(told) == sorted((name, code) for name, (code, _) in REASONS.items())


@pytest.mark.timeout(120)
async def test_outputs_say_why_and_a_worker_that_is_gone_is_told(tmp_path: Path) -> None:
    servers = [{"url": f"rtsp://127.0.0.1:{port}/one"} for port in (1, 2)]
    record = {"folder": str(tmp_path), "min_free_gb": 1e6}
    run = Run([stream("gate", publish=servers, record=record)])
    async with run.running():
        await until(lambda: run.status("gate").state is StreamState.LIVE, 60)

        def codes() -> dict[str, str]:
            return {name: o.code for name, o in run.node.cameras()["gate"].outputs.items()}

        wanted = {"rtsp-1": "OUT_DOWN", "rtsp-2": "OUT_DOWN", "record": "REC_FULL"}
        await until(lambda: codes() == wanted, 30)
        first, _, record_status = run.node.cameras()["gate"].outputs.values()
        assert "refused" in first.reason
        assert first.doing == "tried again every 2 s"
        assert "GB are free" in record_status.reason
        status = run.status("gate")
        if status.code != "OVERLOAD":  # the machine may be busy
            assert (status.code, status.reason, status.message, status.doing) == ("", "", "", "")
        assert status.had_frame
        assert status.since
        assert {e.subject: e.code.value for e in run.told if e.part} == {
            f"gate/{name}": code for name, code in wanted.items()
        }

        worker = run.node._cameras["gate"].worker
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        await until(lambda: run.status("gate").code == run.node.status().code == "WORKER_DOWN", 10)
        assert "its process ended" in run.status("gate").reason
        await until(lambda: run.status("gate").state is StreamState.LIVE, 60)
        assert run.status("gate").code in ("", "OVERLOAD")
        kinds = EventKind.WORKER, EventKind.STREAM
        changes = [e.code for e in run.told if e.facts.kind in kinds]
        assert changes == [Code.WORKER_DOWN, Code.STREAM_FAILED, Code.WORKER_UP, Code.STREAM_UP]
        assert [c.code for c in run.journal.standing("gate", "record")] == [Code.REC_FULL]
        await run.node.record("gate", False)
        assert not list(run.journal.standing("gate", "record"))
