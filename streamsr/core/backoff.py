"""Trying again: how long to wait in between, jittered, and the one loop that never gives up."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from streamsr.core.waiting import wait_set

__all__ = ["Backoff", "keep_trying"]


class Backoff:
    """Delays that double from ``first_s`` to ``last_s``, each jittered by a quarter down."""

    def __init__(self, first_s: float = 0.5, last_s: float = 5.0) -> None:
        self.first_s = first_s
        self.last_s = last_s
        self._tries = 0

    def next_s(self) -> float:
        """The seconds to wait before the next try."""
        delay = min(self.last_s, self.first_s * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return delay * random.uniform(0.75, 1.0)

    def succeeded(self) -> None:
        """Starts from the first delay again."""
        self._tries = 0


async def keep_trying(
    attempt: Callable[[], Awaitable[str | None]],
    backoff: Backoff,
    stopping: asyncio.Event,
    failed: Callable[[str, float], None],
) -> None:
    """Runs ``attempt`` until it returns None or ``stopping`` is set.

    What it returns otherwise is why it failed: ``failed`` is told that and the seconds until the
    next try. Success is told by ``backoff.succeeded()``. Raises what ``attempt`` raises.
    """
    while not stopping.is_set():
        reason = await attempt()
        if reason is None or stopping.is_set():
            return
        delay_s = backoff.next_s()
        failed(reason, delay_s)
        await wait_set(stopping, delay_s)
