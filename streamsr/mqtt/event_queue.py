"""Events that wait to be published: a repeated one once a second, the newest few kept. Pure."""

from collections import deque
from datetime import datetime

from streamsr.core.events import Event
from streamsr.core.throttle import Throttle

__all__ = ["EventQueue"]

CAPACITY = 32  # while the broker is away


class EventQueue:
    """Events with the wall time at which they happened; when it is full the oldest goes."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Event, datetime]] = deque(maxlen=CAPACITY)
        self._throttle = Throttle()

    def add(self, event: Event, now_s: float, when: datetime) -> bool:
        """Queues an event; False where one of its stream and code came less than a second ago."""
        if self._throttle.admit((event.stream, event.code), now_s) is None:
            return False
        self._queue.append((event, when))
        return True

    def first(self) -> tuple[Event, datetime] | None:
        """The oldest, which stays until it is removed."""
        return self._queue[0] if self._queue else None

    def remove(self, queued: tuple[Event, datetime]) -> None:
        """Removes the first one, unless newer ones have pushed it out meanwhile."""
        if self._queue and self._queue[0] is queued:
            self._queue.popleft()
