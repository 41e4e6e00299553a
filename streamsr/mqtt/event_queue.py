"""Changes that wait to be published: of each kind of each subject the newest. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime

from streamsr.core.events import Code, Event
from streamsr.core.events.codes import EventKind

__all__ = ["EventQueue", "QueuedEvent"]

MOST = 10_000  # far more than a node's subjects have kinds: names that come and go add up

Key = tuple[str, str, EventKind]


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """A change that was not published yet."""

    event: Event
    when: datetime
    between: tuple[Code, ...] = ()  # of changes of its kind since the last one that was, each once

    @property
    def key(self) -> Key:
        return self.event.stream, self.event.part, self.event.facts.kind


class EventQueue:
    """The newest change of each kind of each subject, in the order of time.

    While a broker is away a subject may change any number of times: its newest state waits, and
    which codes there were in between. Nothing of another subject, or kind, takes its place.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, QueuedEvent] = {}

    def add(self, event: Event, when: datetime) -> None:
        """Queues a change, in place of an earlier one of the same kind and subject."""
        queued = QueuedEvent(event, when)
        before = self._waiting.pop(queued.key, None)
        if before is not None:
            codes = dict.fromkeys((*before.between, before.event.code))
            queued = replace(queued, between=tuple(codes))
        self._waiting[queued.key] = queued
        if len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]

    def first(self) -> QueuedEvent | None:
        """The oldest, which stays until it is removed."""
        return next(iter(self._waiting.values()), None)

    def remove(self, published: QueuedEvent) -> None:
        """Removes one that was published, unless a newer one has taken its place meanwhile."""
        if self._waiting.get(published.key) is published:
            del self._waiting[published.key]
