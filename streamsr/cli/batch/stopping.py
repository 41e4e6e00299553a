"""How work on files is stopped: by the first signal as soon as it can, by the second at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from streamsr.cli.run import HARD_STOP_S
from streamsr.cli.terminal import INTERRUPTED, say

__all__ = ["Signals", "stopped_by_signals"]

STOPPED = 1  # the exit code after SIGTERM: not all is done


@dataclass(frozen=True, slots=True)
class Signals:
    """Those that came."""

    stop: threading.Event = field(default_factory=threading.Event)  # one has come
    received: list[int] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit code that they ask for; 0 where none has come."""
        if not self.received:
            return 0
        return INTERRUPTED if signal.SIGINT in self.received else STOPPED


@contextmanager
def stopped_by_signals() -> Iterator[Signals]:
    """Sets ``stop`` at SIGINT and SIGTERM, and ends the process at the second one, or where it has
    not stopped for long. For the main thread."""
    signals = Signals()

    def end_now() -> None:
        say(f"streamsr: it has not stopped within {HARD_STOP_S:g} s: ended")
        os._exit(INTERRUPTED)

    timer = threading.Timer(HARD_STOP_S, end_now)
    timer.daemon = True

    def interrupted(number: int, frame: object) -> None:
        if signals.received:
            os._exit(INTERRUPTED)
        signals.received.append(number)
        signals.stop.set()
        timer.start()

    before = {n: signal.signal(n, interrupted) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        timer.cancel()
