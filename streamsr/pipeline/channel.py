"""Bounded queues between threads, each with a named overflow policy and an exact count of drops."""

import threading
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

__all__ = ["ByTime", "Channel", "Closed", "Overflow"]

T = TypeVar("T")


class Timed(Protocol):
    """What belongs to a moment of its stream."""

    @property
    def time_s(self) -> float: ...


P = TypeVar("P", bound=Timed)
Q = TypeVar("Q", bound=Timed, covariant=True)


class Waiting(Protocol[Q]):
    """A queue, as ``Channel`` is one."""

    def __len__(self) -> int: ...

    def receive(self) -> Q: ...


class Overflow(StrEnum):
    """What a full channel does with one more item."""

    WAIT = "wait"  # the sender waits: nothing is lost, for files
    DROP_OLDEST = "drop_oldest"  # the oldest item is dropped: latency stays bounded, for live


class Closed(Exception):  # noqa: N818 - an end is not a failure
    """The channel has ended: nothing more is sent, or nothing more will come."""


class Channel(Generic[T]):
    """A first-in first-out queue of at most ``capacity`` items. Every method may be called from
    any thread. In = out + dropped + still queued, at any moment."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: got {capacity}, allowed is 1 or more")
        self.capacity = capacity
        self.overflow = overflow
        self.dropped = 0  # items, by the overflow policy or by abort()
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    def send(self, item: T) -> bool:
        """Queues an item, and returns whether an older one was dropped for it. Raises Closed."""
        with self._changed:
            if self.overflow is Overflow.WAIT:
                self._changed.wait_for(lambda: self._closed or len(self._items) < self.capacity)
            if self._closed:
                raise Closed
            full = len(self._items) >= self.capacity
            if full:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return full

    def receive(self, timeout_s: float | None = None) -> T:
        """Takes the oldest item. Raises TimeoutError, or Closed once it has ended and is empty."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout_s):
                raise TimeoutError
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Ends the channel: what is queued can still be taken, nothing more can be sent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Ends the channel at once: what is queued counts as dropped."""
        with self._changed:
            self.dropped += len(self._items)
            self._items.clear()
            self.close()


class ByTime(Generic[P]):
    """Takes from a queue, all in one thread, what is due."""

    def __init__(self, queue: Waiting[P]) -> None:
        self._queue = queue
        self._next: P | None = None  # out of the queue, before its time

    def __len__(self) -> int:
        return len(self._queue) + (self._next is not None)

    def due(self, until_s: float) -> Iterator[P]:
        """Yields what belongs to the time until then, up to the first that is later."""
        while len(self):
            self._next = self._next or self._queue.receive()
            if self._next.time_s > until_s:
                return
            item, self._next = self._next, None
            yield item

    def drop(self) -> None:
        """Takes all that is left."""
        self._next = None
        while len(self._queue):
            self._queue.receive()
