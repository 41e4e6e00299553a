"""A reader of a live source, in a thread of its own as a pipeline has it."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from streamsr.core.errors import SourceError
from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.sources.live import LiveSource

__all__ = ["Reader"]


class Reader:
    """Reads a camera in a thread of its own, as a pipeline does, and keeps what it tells."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.items: list[Any] = []
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.source = LiveSource(url, self._told, **settings)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end(within_s=15)

    def end(self, within_s: float) -> None:
        """Asks for a stop and waits for it."""
        self._stop.set()
        self._thread.join(within_s)
        assert not self._thread.is_alive()

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    @property
    def codes(self) -> list[Code]:
        return [event.code for event in self.events]

    def wait_for(self, met: Callable[[], bool], timeout_s: float = 15) -> float:
        """Waits until ``met``; returns the seconds it took."""
        start = monotonic()
        with self._changed:
            assert self._changed.wait_for(met, timeout_s), f"not within {timeout_s} s"
        return monotonic() - start

    def wait_for_frames(self, count: int, timeout_s: float = 15) -> None:
        """Waits for so many frames more than there are."""
        wanted = len(self.frames) + count
        self.wait_for(lambda: len(self.frames) >= wanted, timeout_s)

    def _told(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            for item in self.source.items(self._stop):
                with self._changed:
                    self.items.append(item)
                    self._changed.notify_all()
        except (SourceError, OSError) as error:
            self.error = error
            with self._changed:
                self._changed.notify_all()
