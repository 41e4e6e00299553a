"""What a pipeline in a program of one's own tells: typed events, each change once."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from streamsr.core.events import Event
from streamsr.core.events.journal import Journal
from streamsr.core.events.log import log_event

__all__ = ["ToldEvents"]

KEPT = 1000  # events, for who asks later
logger = logging.getLogger("streamsr")


class ToldEvents:
    """The changes of a journal, handed to a callback and to any number of readers."""

    def __init__(self, journal: Journal, emit: Callable[[Event], None] | None) -> None:
        """``emit`` is called with each; left out, they are logged by ``logging``."""
        self._emit = emit or log_event
        self._told: deque[Event] = deque(maxlen=KEPT)
        self._count = 0  # of events so far
        self._ended = False
        self._waiting: set[asyncio.Event] = set()
        self._loop = asyncio.get_running_loop()
        self._failed = False  # that the callback raised was said
        journal.listeners.append(self._hear)

    async def read(self) -> AsyncIterator[Event]:
        """Yields the newest that were told already, then each as it is, until the end."""
        number = 0
        while True:
            while number < self._count:
                first = self._count - len(self._told)
                number = max(number, first)
                yield self._told[number - first]
                number += 1
            if self._ended:
                return
            changed = asyncio.Event()
            self._waiting.add(changed)
            try:
                await changed.wait()
            finally:
                self._waiting.discard(changed)

    def end(self) -> None:
        """Ends what reads, once it has read all."""
        self._ended = True
        self._wake()

    def _hear(self, event: Event) -> None:
        with suppress(RuntimeError):  # the loop is closed: a thread was left behind
            self._loop.call_soon_threadsafe(self._add, event)
        try:
            self._emit(event)
        except Exception:  # the caller's code: a pipeline does not end with it
            if not self._failed:
                self._failed = True
                logger.exception("what is told events has failed; it is told the next ones too")

    def _add(self, event: Event) -> None:
        self._told.append(event)
        self._count += 1
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            waiting.set()
