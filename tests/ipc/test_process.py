"""Supervision of a real child process: heartbeat, restart, and a stop that always ends."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from peers.waiting import until

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import Deadline
from streamsr.ipc.messages import FinishOutput, Heartbeat, Message
from streamsr.ipc.process import HeartbeatLimits, RestartError, SupervisedProcess


class Supervised(SupervisedProcess):
    """A child that beats, and what its supervisor noticed."""

    def __init__(self, behaviour: str, limits: HeartbeatLimits) -> None:
        backoff = Backoff(0.01, 0.02)
        super().__init__("supervised_child", behaviour, limits=limits, backoff=backoff)
        self.messages: list[Message] = []
        self.failures: list[str] = []
        self.ends = 0
        self.wrong = ""  # why the next message is taken for a reason to restart

    async def send_input(self) -> None:
        self.wrong = ""

    def handle(self, message: Message) -> None:
        self.messages.append(message)
        if self.wrong:
            raise RestartError(self.wrong)

    def finish(self, deadline: Deadline) -> None:
        self.send(FinishOutput())

    def failed(self, reason: str, delay_s: float) -> None:
        self.failures.append(reason)

    def ended(self) -> None:
        self.ends += 1


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@asynccontextmanager
async def running(behaviour: str, *, silence_s: float = 20.0) -> AsyncIterator[Supervised]:
    child = Supervised(behaviour, HeartbeatLimits(start_s=20.0, silence_s=silence_s))
    task = asyncio.create_task(child.run())
    try:
        async with asyncio.timeout(40):
            yield child
    finally:
        await child.stop(Deadline.after(2.0))
        await task


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_is_heard_and_finishes_when_it_is_asked_to() -> None:
    async with running("beat") as child:
        await until(lambda: child.messages, 20)
        pid = child.pid
        assert pid is not None
    assert child.messages[0] == Heartbeat()
    assert (child.failures, child.restarts, child.ends) == ([], 0, 1)
    assert not is_running(pid)


async def test_a_child_that_dies_is_replaced() -> None:
    async with running("die") as child:
        await until(lambda: child.restarts >= 2, 30)
    assert set(child.failures) == {"its process ended"}


@pytest.mark.parametrize("behaviour", ["freeze", "mute"])
async def test_a_child_that_sends_nothing_is_killed_and_replaced(behaviour: str) -> None:
    limits = HeartbeatLimits(start_s=0.1 if behaviour == "mute" else 20.0, silence_s=0.1)
    child = Supervised(behaviour, limits)
    task = asyncio.create_task(child.run())
    await until(lambda: child.restarts, 30)
    assert child.failures[0] == "no heartbeat for 0.1 s"
    await child.stop(Deadline.after(0.1))
    await task


async def test_a_child_whose_message_says_it_is_of_no_use_is_replaced() -> None:
    async with running("beat") as child:
        await until(lambda: child.messages, 20)
        first = child.pid
        child.wrong = "no frame finished"
        await until(lambda: child.restarts == 1 and child.pid not in (None, first), 20)
    assert child.failures == ["no frame finished"]


async def test_a_child_that_does_not_finish_is_killed_at_the_deadline() -> None:
    async with running("stubborn") as child:
        await until(lambda: child.messages, 20)
        began = monotonic()
        await child.stop(Deadline.after(0.3))
        assert 0.3 <= monotonic() - began < 5, "the kill itself takes no time to speak of"
    assert child.pid is None


async def test_stopping_while_the_process_is_being_started_ends_it() -> None:
    async with running("beat"):
        await asyncio.sleep(0)


async def test_stopping_what_never_ran_returns_at_once() -> None:
    await Supervised("beat", HeartbeatLimits(1.0, 1.0)).stop(Deadline.after(60.0))
