"""Threads that run windows, fairly to every stream. Knows no network and no frame."""

import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Generic, TypeVar

from streamsr.core.errors import EngineClosedError
from streamsr.engine.scheduler import Scheduler

__all__ = ["ThreadPool"]

T = TypeVar("T")


class ThreadPool(AbstractContextManager["ThreadPool[T]"], Generic[T]):
    """``workers`` threads, each with one item at a time in ``run``, which must not raise.

    An item is a batch of its own: two in one thread would leave another thread idle. Leaving the
    context ends the threads, what is in flight finished; what still waits goes to ``abandon``.
    """

    def __init__(
        self,
        workers: int,
        run: Callable[[T], None],
        abandon: Callable[[T], None],
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """``begin`` is called by each thread, and waited for."""
        self.workers = workers
        self._begin = begin
        self._run = run
        self._abandon = abandon
        self._scheduler: Scheduler[tuple[Hashable, T]] = Scheduler(max_batch=1, max_wait_s=0.0)
        self._closed = False
        self._changed = threading.Condition()
        begun = threading.Barrier(workers + 1)
        self._threads = [
            threading.Thread(
                target=self._work, args=(begun,), name=f"streamsr-engine-{number}", daemon=True
            )
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()
        begun.wait()

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def streams(self) -> int:
        """How many streams are served now."""
        with self._changed:
            return self._scheduler.streams(monotonic())

    def submit(self, stream: Hashable, item: T) -> None:
        """Queues an item of a stream. Raises EngineClosedError once the pool is closed."""
        with self._changed:
            if self._closed:
                raise EngineClosedError("the engine is closed")
            self._scheduler.add(stream, None, (stream, item), monotonic())
            self._changed.notify()

    def close(self) -> None:
        """Ends the threads. Closing twice does nothing. One of them may do it, by what is collected
        as garbage there: it ends after the others."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        while waiting := self._scheduler.take(float("inf")):
            for _, item in waiting:
                self._abandon(item)

    def _work(self, begun: threading.Barrier) -> None:
        try:
            self._begin()
        except BaseException:
            begun.abort()  # or the pool would wait for it
            raise
        begun.wait()
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Runs the next item, of which nothing is kept then; False once the pool is closed."""
        taken = self._next()
        if taken is None:
            return False
        stream, item = taken
        began_s = monotonic()
        self._run(item)
        with self._changed:
            self._scheduler.done(stream, monotonic() - began_s)
            self._changed.notify()  # a stream that took long may go again
        return True

    def _next(self) -> tuple[Hashable, T] | None:
        """Waits for the next item; None once the pool is closed."""
        with self._changed:
            while not self._closed:
                for stream, item in self._scheduler.take(monotonic(), self.workers):
                    self._scheduler.begun(stream)
                    return stream, item
                self._changed.wait()
        return None
