"""Threads that run windows, fairly to every stream. Knows no network and no frame."""

import threading
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, Self, TypeVar

from streamsr.engine.scheduler import Scheduler

__all__ = ["ThreadPool"]

T = TypeVar("T")


class ThreadPool(Generic[T]):
    """``workers`` threads, each with one batch at a time in ``run``, which must not raise.

    Leaving its context ends the threads, what is in flight finished; what still waits is given
    to ``abandon``.
    """

    def __init__(
        self,
        workers: int,
        scheduler: Scheduler[tuple[Hashable, T]],
        run: Callable[[list[T]], None],
        abandon: Callable[[T], None],
    ) -> None:
        self.workers = workers
        self._scheduler = scheduler
        self._run = run
        self._abandon = abandon
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"streamsr-engine-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def submit(self, stream: Hashable, group: Hashable, item: T) -> None:
        """Queues an item. Items of one group may run as one batch.

        Raises RuntimeError once the pool is closed.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._scheduler.add(stream, group, (stream, item), monotonic())
            self._changed.notify()

    def close(self) -> None:
        """Ends the threads. Closing twice does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        while waiting := self._scheduler.take(float("inf")):
            for _, item in waiting:
                self._abandon(item)

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            began_s = monotonic()
            self._run([item for _, item in batch])
            spent_s = (monotonic() - began_s) / len(batch)
            with self._changed:
                for stream, _ in batch:
                    self._scheduler.done(stream, spent_s)
                self._changed.notify()  # a stream that took long may go again

    def _next(self) -> list[tuple[Hashable, T]] | None:
        """Waits for the next batch; None once the pool is closed."""
        with self._changed:
            while not self._closed:
                now_s = monotonic()
                if batch := self._scheduler.take(now_s, self.workers):
                    for stream, _ in batch:
                        self._scheduler.begun(stream)
                    return batch
                due_s = self._scheduler.due_s()
                late = due_s is None or due_s <= now_s  # then it waits for a stream that takes long
                self._changed.wait(None if late or due_s is None else due_s - now_s)
        return None
