"""Keeps an output's process from writing once its camera's lease is over, whatever was frozen.

Between a look at the lease and the write that follows it a process may be stopped for minutes. So
what publishes to a server is killed by a timer of the kernel's at the end of the lease that it saw
last: that reaches a stopped process too, and closes its connections, which sets the server free for
the host that has the camera by then.
"""

import ctypes
import signal
import sys
from pathlib import Path
from typing import Protocol

from streamsr.core.lease import CLOCK, Lease, now_ns

__all__ = ["Fence", "LeaseFence", "LeaseOverError", "Unfenced"]

TIMER_ABSTIME = 1  # timer_settime(2)
SIGEV_SIGNAL = 0  # sigevent(7)
SECOND_NS = 1_000_000_000
MARGIN_NS = 300_000_000  # longer than a process is between two looks, where nothing holds it up


class LeaseOverError(Exception):
    """The camera is no longer this machine's to publish."""

    def __init__(self) -> None:
        super().__init__("the lease of this camera is over")


class Fence(Protocol):
    """Says whether a process may write."""

    def holds(self) -> bool:
        """Looked at before each write, and several times a second. Raises OSError."""


class Unfenced:
    """Of a node that is in no fleet: it may write whenever it likes."""

    def holds(self) -> bool:
        return True


class LeaseFence:
    """Of a camera with a lease."""

    def __init__(self, path: Path, *, kills: bool) -> None:
        """``kills``: this process is killed at the end of the lease, and ends a moment before it
        by itself. Raises OSError.
        """
        self._lease = Lease(path)
        self._timer = _KillTimer() if kills and sys.platform == "linux" else None
        self._margin_ns = MARGIN_NS if kills else 0
        self._armed_ns = 0

    def holds(self) -> bool:
        until_ns = self._lease.until_ns
        holds = now_ns() < until_ns - self._margin_ns
        if self._timer is not None and holds and until_ns != self._armed_ns:
            self._timer.kill_at(until_ns)  # if it has passed meanwhile, at once
            self._armed_ns = until_ns
        return holds


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class _SignalEvent(ctypes.Structure):
    """``struct sigevent`` of glibc and musl on Linux, 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _KillTimer:
    """A POSIX timer of this process that sends it SIGKILL, which no state of it holds up."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = ctypes.c_void_p()
        event = _SignalEvent(number=signal.SIGKILL, notify=SIGEV_SIGNAL)
        made = self._libc.timer_create(CLOCK, ctypes.byref(event), ctypes.byref(self._timer))
        _raise_on(made, "timer_create")

    def kill_at(self, moment_ns: int) -> None:
        """Sets the moment, in place of the one before. Raises OSError."""
        value = _Timespec(moment_ns // SECOND_NS, moment_ns % SECOND_NS)
        spec = _TimerSpec(value=value)
        set_ = self._libc.timer_settime(self._timer, TIMER_ABSTIME, ctypes.byref(spec), None)
        _raise_on(set_, "timer_settime")


def _raise_on(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), call)
