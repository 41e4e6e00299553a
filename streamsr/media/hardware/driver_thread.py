"""A thread for calls into a driver, which is left behind where one of them hangs."""

import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

__all__ = ["DriverThread", "HangError"]

T = TypeVar("T")


class HangError(Exception):
    """A call takes longer than it may, and goes on in a thread that is left behind."""


class DriverThread:
    """Makes calls one after the other; its thread ends with it. It is of no use after HangError."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # no part of the interpreter's end waits for a daemon
        threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True).start()
        weakref.finalize(self, self._calls.put, None)

    def run(self, call: Callable[[], T], limit_s: float) -> T:
        """Returns what ``call`` returns, and raises what it raises.

        Raises HangError where that takes longer than ``limit_s`` seconds.
        """
        outcome = _Outcome(call)
        self._calls.put(outcome.make)
        try:
            return outcome.taken(limit_s)
        except Empty:
            raise HangError(f"it takes longer than {limit_s:g} s") from None


class _Outcome(Generic[T]):
    """One call and what becomes of it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._made: SimpleQueue[tuple[T] | BaseException] = SimpleQueue()

    def make(self) -> None:
        try:
            self._made.put((self._call(),))
        except BaseException as error:  # it is raised where the call was asked for
            self._made.put(error)

    def taken(self, limit_s: float) -> T:
        """Raises Empty at the limit."""
        made = self._made.get(timeout=limit_s)
        if isinstance(made, BaseException):
            raise made
        return made[0]


def _work(calls: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (make := calls.get()) is not None:
        make()
        del make  # a frame, or an encoder, is kept no longer than its call
