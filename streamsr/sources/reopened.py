"""Sources that are opened again: the one loop of all that cannot be waited for."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from time import monotonic

from streamsr.core.backoff import Backoff
from streamsr.core.errors import SourceAuthError, SourceError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.media.source import Item, MediaSource

__all__ = ["AUTH_RETRY_S", "ReopenedSource"]

AUTH_RETRY_S = 30.0  # cameras lock users out that try too often


class ReopenedSource(MediaSource, ABC):
    """A live source. ``items`` ends only when it is stopped, or as ``give_up_s`` says.

    With ``give_up_s`` the first frame must come within so many seconds, or SourceError is raised;
    once it has come, the source is opened again indefinitely.
    """

    live = True
    retry_s = 0.5, 5.0  # between two tries to open it: at first, and later

    def __init__(self, name: str, emit: Emit, give_up_s: float | None) -> None:
        self.name = name
        self._emit = emit
        self._give_up_s = give_up_s
        self._seen = False  # any frame, ever

    @abstractmethod
    def _connection(self, stop: threading.Event) -> Iterator[Item]:
        """One connection, from opening to its end. Raises SourceError where it fails."""

    def items(self, stop: threading.Event) -> Iterator[Item]:
        backoff = Backoff(*self.retry_s)
        started = monotonic()
        while not stop.is_set():
            try:
                for item in self._connection(stop):
                    if isinstance(item, Frame):
                        backoff.succeeded()
                        self.reconnects += self.down and self._seen
                        self.down, self._seen = False, True
                    yield item
                reason: SourceError = SourceError("the stream ended")
            except SourceError as error:
                reason = error
            if stop.is_set():
                return
            delay_s = self._failed(reason, backoff, monotonic() - started)
            self.down = True
            stop.wait(delay_s)

    def _failed(self, reason: SourceError, backoff: Backoff, tried_s: float) -> float:
        """Reports a failure; returns the seconds to wait. Raises once it is time to give up."""
        refused = isinstance(reason, SourceAuthError)
        delay_s = AUTH_RETRY_S if refused else backoff.next_s()
        if self._give_up_s is not None and not self._seen:
            if refused or tried_s + delay_s >= self._give_up_s:
                raise type(reason)(f"input {self.name}: {reason}")
            delay_s = min(delay_s, self._give_up_s - tried_s)
        code = Code.SRC_AUTH if refused else Code.SRC_DOWN
        every_s = AUTH_RETRY_S if refused else backoff.last_s
        self._tell(code, f"{self.name}: {reason}", f"tried again every {every_s:g} s")
        return delay_s

    def _tell(self, code: Code, message: str, doing: str = "") -> None:
        self._emit(Event(code, self.name, message, doing=doing))
