"""Which windows run together: books of what waits, and nothing of what is done with it.

Pure: time comes in as an argument, and an item may be anything.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Batcher"]

T = TypeVar("T")


class Batcher(Generic[T]):
    """Puts items of one group (a model and a size) from several streams into one batch.

    A batch closes when it is full, or when its oldest item has waited for ``patience_s``. The
    group that has waited longest goes first, and every stream in it gives one item before any
    gives a second: a camera that floods delays nobody but itself.
    """

    def __init__(self, max_batch: int, patience_s: float) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch: got {max_batch}, allowed is 1 or more")
        if patience_s < 0:
            raise ValueError(f"patience_s: got {patience_s}, allowed is 0 or more")
        self.max_batch = max_batch
        self.patience_s = patience_s
        self._groups: dict[Hashable, dict[Hashable, deque[tuple[float, T]]]] = {}

    def __len__(self) -> int:
        return sum(len(items) for group in self._groups.values() for items in group.values())

    def add(self, stream: Hashable, group: Hashable, item: T, now_s: float) -> None:
        """Let an item wait; those of one stream keep their order."""
        streams = self._groups.setdefault(group, {})
        streams.setdefault(stream, deque()).append((now_s, item))

    def due_s(self) -> float | None:
        """When the next batch closes, at the latest; None while nothing waits."""
        return min((self._closes_s(group) for group in self._groups), default=None)

    def take(self, now_s: float) -> list[T]:
        """The next batch, of at most ``max_batch`` items; empty while none is due."""
        due = [group for group in self._groups if self._closes_s(group) <= now_s]
        if not due:
            return []
        group = min(due, key=self._oldest_s)
        streams = self._groups[group]
        batch: list[T] = []
        while streams and len(batch) < self.max_batch:
            for stream in sorted(streams, key=lambda s: streams[s][0][0]):
                if len(batch) < self.max_batch:
                    batch.append(streams[stream].popleft()[1])
            for stream in [s for s, items in streams.items() if not items]:
                del streams[stream]
        if not streams:
            del self._groups[group]
        return batch

    def _oldest_s(self, group: Hashable) -> float:
        return min(items[0][0] for items in self._groups[group].values())

    def _closes_s(self, group: Hashable) -> float:
        """When the group's batch closes: its oldest item's patience ends, or that it is full."""
        oldest_s = self._oldest_s(group)
        full = sum(map(len, self._groups[group].values())) >= self.max_batch
        return oldest_s if full else oldest_s + self.patience_s
