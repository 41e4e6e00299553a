"""A named thread for a blocking function, awaited like a task."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["in_thread"]


def in_thread(name: str, function: Callable[[], None]) -> asyncio.Future[None]:
    """Starts ``function`` in a daemon thread; the future ends as it does.

    Cancelling the future does not end the thread: its caller must have a way to tell it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            function()
        except BaseException as caught:  # whatever it is belongs to the one who awaits
            error = caught
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name=f"streamsr-{name}", daemon=True).start()
    return future
