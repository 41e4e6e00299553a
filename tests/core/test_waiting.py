"""Waiting for an event and for the first of several."""

import asyncio
import threading
from unittest.mock import Mock

import pytest
from peers.waiting import until

from streamsr.core.waiting import first_of, in_thread, wait_set


async def test_an_event_is_waited_for_within_a_limit() -> None:
    event = asyncio.Event()
    assert not await wait_set(event, 0.01)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await wait_set(event, 5)
    assert await wait_set(event, 0.0)
    assert await wait_set(event, None)


async def fail() -> None:
    raise ValueError("first")


async def test_the_first_one_ends_the_others() -> None:
    cancelled = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    await first_of(hang(), asyncio.sleep(0), name="test")
    with pytest.raises(ValueError, match="first"):
        await first_of(hang(), fail(), name="test")
    assert len(cancelled) == 2


async def test_a_cancellation_from_outside_ends_them_all() -> None:
    running = asyncio.create_task(first_of(asyncio.sleep(60), asyncio.sleep(60), name="inner"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "inner"]


async def test_a_thread_is_awaited_with_its_error() -> None:
    names = []
    await in_thread("test", lambda: names.append(threading.current_thread().name))
    assert names == ["streamsr-test"]
    for error in (ValueError("first"), SystemExit(3)):
        with pytest.raises(type(error)):
            await in_thread("test", Mock(side_effect=error))


async def test_a_thread_outlives_the_one_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    released, ended = threading.Event(), threading.Event()

    def work() -> None:
        released.wait(10)
        ended.set()

    waiting = in_thread("test", work)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    released.set()
    await until(ended.is_set)
    await until(lambda: not [t for t in threading.enumerate() if t.name == "streamsr-test"])
    assert caplog.text == ""


def test_a_thread_may_end_after_its_loop(caplog: pytest.LogCaptureFixture) -> None:
    released, threads = threading.Event(), []

    async def leave() -> None:
        in_thread("late", lambda: bool(released.wait(10)))
        threads.extend(t for t in threading.enumerate() if t.name == "streamsr-late")

    asyncio.run(leave())
    released.set()
    (thread,) = threads
    thread.join(10)
    assert not thread.is_alive()
    assert caplog.text == ""
