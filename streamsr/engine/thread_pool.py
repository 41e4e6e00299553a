"""Threads that run windows, fairly to every stream. Knows no network and no frame."""

import threading
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

from streamsr.core.closing import Closing
from streamsr.engine.scheduler import Scheduler

__all__ = ["ThreadPool"]

T = TypeVar("T")


class ThreadPool(Closing, Generic[T]):
    """``workers`` threads, each with one batch at a time in ``run``, which must not raise.

    ``with`` it: leaving ends the threads, what is under way finished; what still waits is given
    to ``abandon``.
    """

    def __init__(
        self,
        workers: int,
        batcher: Scheduler[tuple[Hashable, T]],
        run: Callable[[list[T]], None],
        abandon: Callable[[T], None],
    ) -> None:
        self.workers = workers
        self._batcher = batcher
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

    def submit(self, stream: Hashable, group: Hashable, item: T) -> None:
        """Let an item wait for its turn. Items of one group may run as one batch."""
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._batcher.add(stream, group, (stream, item), monotonic())
            self._changed.notify()

    def close(self) -> None:
        """End the threads. Closing twice does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        while waiting := self._batcher.take(float("inf")):
            for _, item in waiting:
                self._abandon(item)

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            began_s = monotonic()
            self._run([item for _, item in batch])
            spent_s = (monotonic() - began_s) / len(batch)
            with self._changed:
                for stream, _ in batch:
                    self._batcher.done(stream, spent_s)
                self._changed.notify()  # whoever took long may go again

    def _next(self) -> list[tuple[Hashable, T]] | None:
        """Wait for the next batch; None once the pool is closed."""
        with self._changed:
            while not self._closed:
                now_s = monotonic()
                if batch := self._batcher.take(now_s, self.workers):
                    for stream, _ in batch:
                        self._batcher.begun(stream)
                    return batch
                due_s = self._batcher.due_s()
                late = due_s is None or due_s <= now_s  # then it waits for whoever takes long
                self._changed.wait(None if late or due_s is None else due_s - now_s)
        return None
