"""The engine's threads: every item run once, together where they may be, and an orderly end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamsr.engine.scheduler import Scheduler
from streamsr.engine.thread_pool import ThreadPool


class Gate:
    """Runs batches once it is opened, and remembers them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.batches: list[list[str]] = []
        self.abandoned: list[str] = []

    def run(self, batch: list[str]) -> None:
        self.begun.release()
        assert self.open.wait(10)
        self.batches.append(batch)


@contextmanager
def pool_of(
    workers: int, max_batch: int, max_wait_s: float = 0
) -> Iterator[tuple[ThreadPool[str], Gate]]:
    gate = Gate()
    batcher: Scheduler[str] = Scheduler(max_batch, max_wait_s)
    with ThreadPool(workers, batcher, gate.run, gate.abandoned.append) as pool:
        yield pool, gate
        gate.open.set()


def test_what_waits_while_all_threads_work_becomes_a_batch() -> None:
    with pool_of(1, 4) as (pool, gate):
        pool.submit("a", "x", "a1")
        assert gate.begun.acquire(timeout=10)
        for stream in "bcd":
            pool.submit(stream, "x", f"{stream}1")
        gate.open.set()
        assert gate.begun.acquire(timeout=10)
    assert gate.batches == [["a1"], ["b1", "c1", "d1"]]


def test_threads_work_side_by_side() -> None:
    with pool_of(2, 1) as (pool, gate):
        pool.submit("a", "x", "a1")
        pool.submit("b", "x", "b1")
        for _ in range(2):
            assert gate.begun.acquire(timeout=10)


def test_patience_ends_without_another_item() -> None:
    with pool_of(1, 8, max_wait_s=0.05) as (pool, gate):
        gate.open.set()
        pool.submit("a", "x", "a1")
        assert gate.begun.acquire(timeout=10)
    assert gate.batches == [["a1"]]


def test_leaving_abandons_what_still_waits() -> None:
    with pool_of(1, 1, max_wait_s=60) as (pool, gate):
        gate.open.set()
        pool.submit("a", "x", "a1")
        assert gate.begun.acquire(timeout=10), "a full batch is due at once"
    gate = Gate()
    pool = ThreadPool(1, Scheduler[str](8, 60), gate.run, gate.abandoned.append)
    pool.submit("a", "x", "a1")
    pool.close()
    assert (gate.batches, gate.abandoned) == ([], ["a1"])
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit("a", "x", "a2")
