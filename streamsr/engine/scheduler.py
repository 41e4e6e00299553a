"""Batching and fair queueing: which windows run together, and which stream is served next.

Pure: time comes in as an argument, and an item may be anything.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Scheduler"]

GONE_S = 30.0  # without an item: a stream is forgotten
ACTIVE_S = 1.0  # since an item: a stream counts as one
LONG_S = 0.1  # a stream whose items take longer leaves one thread to the others
AWAY_S = 5.0  # without an item: no thread is left to a stream

T = TypeVar("T")


@dataclass(slots=True)
class _Account:
    """What one stream has used."""

    used_s: float  # of the device, counted from where it last had nothing to do
    busy: int = 0  # its items that are being run
    took_s: float = 0.0  # by the newest of them
    seen_s: float = 0.0  # when the newest came


class Scheduler(Generic[T]):
    """Puts items of one group (a model and a size) from several streams into one batch.

    A batch closes when it is full, or when its oldest item has waited for ``max_wait_s``. The
    stream that has used the device least goes first, and every stream in a batch gives one item
    before any gives a second: a stream that takes long, or floods, delays only itself.
    """

    def __init__(self, max_batch: int, max_wait_s: float) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch: got {max_batch}, allowed is 1 or more")
        if max_wait_s < 0:
            raise ValueError(f"max_wait_s: got {max_wait_s}, allowed is 0 or more")
        self.max_batch = max_batch
        self.max_wait_s = max_wait_s
        self._groups: dict[Hashable, dict[Hashable, deque[tuple[float, T]]]] = {}
        self._accounts: dict[Hashable, _Account] = {}
        self._clock_s = 0.0  # what the stream served last had used: one that was idle begins here

    def __len__(self) -> int:
        return sum(len(items) for group in self._groups.values() for items in group.values())

    def streams(self, now_s: float) -> int:
        """Returns how many streams have queued an item in the last second."""
        return sum(now_s - account.seen_s < ACTIVE_S for account in self._accounts.values())

    def add(self, stream: Hashable, group: Hashable, item: T, now_s: float) -> None:
        """Queues an item; those of one stream keep their order."""
        self._tidy(now_s)
        account = self._accounts.setdefault(stream, _Account(self._clock_s))
        account.seen_s = now_s
        if not account.busy and not any(stream in streams for streams in self._groups.values()):
            account.used_s = max(account.used_s, self._clock_s)
        streams = self._groups.setdefault(group, {})
        streams.setdefault(stream, deque()).append((now_s, item))

    def due_s(self) -> float | None:
        """Returns when the next batch closes, at the latest; None while nothing waits."""
        return min((self._closes_s(group) for group in self._groups), default=None)

    def take(self, now_s: float, threads: int = 1) -> list[T]:
        """Returns the next batch, of at most ``max_batch`` items; empty while none is due.

        ``threads`` run batches side by side: those whose items take long leave one to the others.
        """
        due = [group for group in self._groups if self._closes_s(group) <= now_s]
        ready = [
            (self._rank(group, stream), group)
            for group in due
            for stream in self._groups[group]
            if self._may_go(stream, threads, now_s)
        ]
        if not ready:
            return []
        (used_s, _), group = min(ready, key=lambda entry: entry[0])
        self._clock_s = max(self._clock_s, used_s)
        return self._filled(group, threads, now_s)

    def done(self, stream: Hashable, spent_s: float) -> None:
        """Charges a stream for an item of it that has been run."""
        account = self._accounts[stream]
        account.busy -= 1
        account.took_s = spent_s
        account.used_s += spent_s

    def begun(self, stream: Hashable) -> None:
        """Notes that an item of a stream is being run; ``done`` must follow."""
        self._accounts[stream].busy += 1

    def _filled(self, group: Hashable, threads: int, now_s: float) -> list[T]:
        streams, batch = self._groups[group], list[T]()
        while len(batch) < self.max_batch:
            going = [s for s in streams if self._may_go(s, threads, now_s)]
            if not going:
                break
            for stream in sorted(going, key=lambda s: self._rank(group, s)):
                if len(batch) < self.max_batch:
                    batch.append(streams[stream].popleft()[1])
                if not streams[stream]:
                    del streams[stream]
        if not streams:
            del self._groups[group]
        return batch

    def _rank(self, group: Hashable, stream: Hashable) -> tuple[float, float]:
        return self._accounts[stream].used_s, self._groups[group][stream][0][0]

    def _may_go(self, stream: Hashable, threads: int, now_s: float) -> bool:
        account = self._accounts[stream]
        others = any(
            other != stream and now_s - seen.seen_s < AWAY_S
            for other, seen in self._accounts.items()
        )
        return not others or account.took_s <= LONG_S or account.busy < max(1, threads - 1)

    def _tidy(self, now_s: float) -> None:
        """Forgets streams that have gone."""
        waiting = {stream for streams in self._groups.values() for stream in streams}
        for stream, account in list(self._accounts.items()):
            if now_s - account.seen_s > GONE_S and not account.busy and stream not in waiting:
                del self._accounts[stream]

    def _closes_s(self, group: Hashable) -> float:
        """When the group's batch closes: its oldest item has waited enough, or it is full."""
        oldest_s = min(items[0][0] for items in self._groups[group].values())
        full = sum(map(len, self._groups[group].values())) >= self.max_batch
        return oldest_s if full else oldest_s + self.max_wait_s
