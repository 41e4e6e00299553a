"""Whether all of a stream arrives at a server, and when to give it up. It decides and acts not."""

import asyncio
from collections.abc import Callable

__all__ = ["Arrival"]


class Arrival:
    """What becomes of one output, from its first packet on.

    ``give_up`` is called when the server was not up within ``give_up_s``; None: it may take for
    ever, and nothing is ever missing.
    """

    def __init__(self, give_up_s: float | None, give_up: Callable[[], None]) -> None:
        self.demanded = give_up_s is not None  # that all arrives
        self.reached = False  # the server was up, or took all there was
        self._give_up_s = give_up_s
        self._give_up = give_up
        self._deadline: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._complete = False  # its process said that all was written
        self._breaks = 0  # how often it went down after it was reached

    def begin(self) -> None:
        """Give the server its time from now on, unless it is running already."""
        if self._give_up_s is not None and self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._give_up_s, self._give_up)

    async def wait(self) -> None:
        """Wait until it is over; at once where it may take for ever."""
        if self.demanded:
            self.begin()
            await self._over.wait()

    def heard(self, state: str) -> None:
        """Take what its process says of itself."""
        self._complete = state == "ended"
        if state in ("up", "ended"):
            self.reached = True
            self._cancel()

    def went_down(self) -> None:
        self._breaks += self.reached

    def over(self) -> None:
        """There is nothing more to come of it."""
        self._over.set()
        self._cancel()

    def missing(self, lost: int) -> str:
        """What did not arrive, where all was to; "" where it did. ``lost`` is in packets."""
        if not self.demanded or (self._complete and not self._breaks and not lost):
            return ""
        if not self.reached:
            return f"nothing was delivered: it was not up within {self._give_up_s:.0f} s"
        return f"not all was delivered: it went down {self._breaks} times, {lost} packets were lost"

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
