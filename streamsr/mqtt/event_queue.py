"""Events on their way out: each code of a stream at most once a second, and the newest few kept.

Pure: time is an argument.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from streamsr.core.events import Code, Event

__all__ = ["EventQueue", "Notice"]

KEPT = 32  # while the broker is away
APART_S = 1.0


@dataclass(frozen=True, slots=True)
class Notice:
    """An event and the wall time at which it happened."""

    event: Event
    when: datetime


class EventQueue:
    """A queue of at most ``KEPT`` events; one more pushes the oldest out."""

    def __init__(self) -> None:
        self._queue: deque[Notice] = deque(maxlen=KEPT)
        self._told_s: dict[tuple[str, Code], float] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, event: Event, now_s: float, when: datetime) -> bool:
        """Queue an event; False where one like it was queued less than a second ago."""
        key = (event.stream, event.code)
        if now_s - self._told_s.get(key, float("-inf")) < APART_S:
            return False
        if len(self._told_s) >= 256:  # streams come and go: what is older holds nothing back
            self._told_s = {k: s for k, s in self._told_s.items() if now_s - s < APART_S}
        self._told_s[key] = now_s
        self._queue.append(Notice(event, when))
        return True

    def first(self) -> Notice | None:
        """The oldest, which stays until it is ``done``."""
        return self._queue[0] if self._queue else None

    def done(self, notice: Notice) -> None:
        """Let one go that has arrived, unless newer ones have pushed it out meanwhile."""
        if self._queue and self._queue[0] is notice:
            self._queue.popleft()
