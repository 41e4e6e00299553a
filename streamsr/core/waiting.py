"""Waiting in the event loop: for an event within a limit, the first of several, and a thread.

Python 3.11's asyncio.wait_for and TaskGroup may lose a cancellation that comes as they end.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

__all__ = ["first_of", "in_thread", "wait_set"]


async def wait_set(event: asyncio.Event, limit_s: float | None) -> bool:
    """Waits until ``event`` is set, ``limit_s`` at most; returns whether it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
    return event.is_set()


async def first_of(*coroutines: Coroutine[object, object, object], name: str) -> None:
    """Runs them as tasks of this name to the end of the first, whose error it raises.

    The others are cancelled.
    """
    tasks = [asyncio.create_task(coroutine, name=name) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def in_thread(name: str, function: Callable[[], None]) -> asyncio.Future[None]:
    """Starts ``function`` in a daemon thread; the future ends as it does.

    Cancelling the future does not end the thread: its caller must have a way to tell it.
    """
    outcome: concurrent.futures.Future[None] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()  # so that it is not cancelled with the one returned

    def run() -> None:
        try:
            function()
        except BaseException as error:  # whatever it is belongs to the one who awaits
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    threading.Thread(target=run, name=f"streamsr-{name}", daemon=True).start()
    return asyncio.wrap_future(outcome)
