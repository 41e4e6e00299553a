"""The engine's threads: every item run once, side by side, and an orderly end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamsr.core.errors import EngineClosedError
from streamsr.engine.thread_pool import ThreadPool


class Gate:
    """Runs items once it is opened, and remembers them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.items: list[str] = []
        self.abandoned: list[str] = []

    def run(self, item: str) -> None:
        self.begun.release()
        assert self.open.wait(10)
        self.items.append(item)


@contextmanager
def pool_of(workers: int) -> Iterator[tuple[ThreadPool[str], Gate]]:
    gate = Gate()
    with ThreadPool(workers, gate.run, gate.abandoned.append) as pool:
        yield pool, gate
        gate.open.set()


def test_every_item_runs_once_and_the_streams_take_their_turns() -> None:
    with pool_of(1) as (pool, gate):
        pool.submit("a", "a1")
        assert gate.begun.acquire(timeout=10)
        for stream, item in (("a", "a2"), ("a", "a3"), ("b", "b1")):
            pool.submit(stream, item)
        gate.open.set()
        for _ in range(3):
            assert gate.begun.acquire(timeout=10)
    assert gate.items == ["a1", "b1", "a2", "a3"]


def test_threads_work_side_by_side() -> None:
    with pool_of(2) as (pool, gate):
        pool.submit("a", "a1")
        pool.submit("b", "b1")
        for _ in range(2):
            assert gate.begun.acquire(timeout=10)


def submit_until_closed(pool: ThreadPool[str]) -> None:
    while True:
        pool.submit("a", "a3")


def test_leaving_abandons_what_still_waits() -> None:
    gate = Gate()
    pool = ThreadPool(1, gate.run, gate.abandoned.append)
    for item in ("a1", "a2"):
        pool.submit("a", item)
    assert gate.begun.acquire(timeout=10)
    closing = threading.Thread(target=pool.close)
    closing.start()
    with pytest.raises(RuntimeError, match="closed"):
        submit_until_closed(pool)
    gate.open.set()
    closing.join(10)
    assert gate.items == ["a1"]
    assert {"a2"} <= set(gate.abandoned) <= {"a2", "a3"}


def test_a_thread_of_the_pool_may_close_it_and_keeps_no_item() -> None:
    class Item:
        """Closes the pool as it goes, as the end of an engine's last user does."""

        def __del__(self) -> None:
            pool.close()
            closed.set()

    closed = threading.Event()
    pool = ThreadPool[Item](2, lambda item: None, lambda item: None)
    pool.submit("a", Item())
    assert closed.wait(10)
    pool.close()
    with pytest.raises(EngineClosedError):
        pool.submit("a", Item())
