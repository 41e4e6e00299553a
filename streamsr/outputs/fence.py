"""Keeps an output's process from writing once its camera's lease is over, whatever was frozen.

Between a look at the lease and the write that follows it a process may be stopped for minutes. So
what publishes to a server is killed by the kernel at the end of the lease: that reaches a stopped
process too, and closes its connections, which sets the server free for the host that has the camera
by then. A server may hold the process inside FFmpeg, with the GIL, while its lease is renewed: so
the timer is that of its parent, which does nothing else, and with which the kernel kills it.
"""

import ctypes
import mmap
import os
import select
import signal
import sys
from pathlib import Path
from typing import NoReturn, Protocol

from streamsr.core.lease import CLOCK, MOMENT, Lease, now_ns

__all__ = ["Fence", "LeaseFence", "LeaseOverError", "Unfenced", "die_with", "killing_fence"]

PR_SET_PDEATHSIG = 1  # prctl(2)
LOOK_S = 0.2  # between two looks at the lease
KILLED = 128  # added to a signal's number, as shells do
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
    """Of a camera with a lease, where nothing is killed."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._lease = Lease(path)

    def holds(self) -> bool:
        return self._lease.holds()


class KillingFence:
    """Of a process that is killed at the end of the lease; it ends a moment before by itself."""

    def __init__(self, lease: Lease, armed: mmap.mmap) -> None:
        self._lease = lease
        self._armed = armed  # the moment for which the parent has set its timer

    def holds(self) -> bool:
        armed_ns: int = MOMENT.unpack_from(self._armed)[0]
        until_ns = min(self._lease.until_ns, armed_ns)
        return now_ns() < until_ns - MARGIN_NS


def killing_fence(path: Path) -> Fence:
    """Forks: returns the fence in the child, which is to go on with what the process is for.

    The parent ends as the child does, and is killed at the end of the lease; the child with it.
    Call it before any thread is started. Elsewhere than on Linux nothing forks, and nothing is
    killed. Raises OSError.
    """
    lease = Lease(path)
    if sys.platform != "linux":
        armed = mmap.mmap(-1, MOMENT.size)
        MOMENT.pack_into(armed, 0, 2**63 - 1)
        return KillingFence(lease, armed)
    armed = mmap.mmap(-1, MOMENT.size)  # both see it
    ended, ends = os.pipe()  # the child alone has the end that is written to
    parent = os.getpid()
    child = os.fork()
    if child:
        os.close(ends)
        _guard(child, lease, armed, ended)
    os.close(ended)
    die_with(parent)
    return KillingFence(lease, armed)


def _guard(child: int, lease: Lease, armed: mmap.mmap, ended: int) -> NoReturn:
    """Sets the timer on as the lease is prolonged, until the child has ended."""
    timer = _KillTimer()  # a fork would have none
    while not select.select([ended], [], [], LOOK_S)[0]:
        until_ns = lease.until_ns
        if until_ns != MOMENT.unpack_from(armed)[0] and now_ns() < until_ns:
            timer.kill_at(until_ns)  # if it has passed meanwhile, at once
            MOMENT.pack_into(armed, 0, until_ns)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else KILLED - code)


def die_with(parent_pid: int) -> None:
    """Makes the kernel kill this process when its parent is gone: a peer may hold it in FFmpeg.

    Files are no peers: a process that writes some sees the end of its socket, and finishes them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)


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
