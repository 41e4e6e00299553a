"""Waiting for what nothing tells of: it happens in another process, or at a connection's end."""

import asyncio
from collections.abc import Callable
from time import monotonic

__all__ = ["until"]


async def until(condition: Callable[[], object], within_s: float = 20.0) -> float:
    """Wait until ``condition()`` holds, and give the seconds it took. Raises TimeoutError."""
    began_s = monotonic()
    while not condition():
        if monotonic() - began_s > within_s:
            raise TimeoutError(f"not within {within_s} s")
        await asyncio.sleep(0.01)
    return monotonic() - began_s
