"""Whether a server that sent reports sends none any more, though all is acknowledged.

A middlebox may swallow what it acknowledges. RTSP servers report on what arrives (RFC 3550, 6.4),
which FFmpeg keeps to itself: that something came is seen on the process's one TCP socket. A server
that never reported is not judged.
"""

import os
import socket
import stat
import sys
from time import monotonic

__all__ = ["Reports", "last_heard"]

LAST_DATA_RECV = slice(52, 56)  # of Linux' struct tcp_info: milliseconds
ENOUGH = 3  # reports: from then on more are expected
APART_S = 1.0  # less, and it is one report, or the answers to our requests
SILENT_S = 20.0  # or three times the longest time between two reports
LOOK_S = 1.0  # between two looks


class Reports:
    """The reports of one server, from the header's answer on. Pure: times are arguments."""

    def __init__(self) -> None:
        self._heard: float | None = None  # when the newest came
        self._longest_s = 0.0  # between two
        self._count = 0
        self._looked = float("-inf")

    def due(self, now: float) -> bool:
        """Whether it is time to look again, which costs system calls."""
        if now - self._looked < LOOK_S:
            return False
        self._looked = now
        return True

    def overdue(self, heard: float, now: float) -> bool:
        """Take when something was ``heard`` last; whether the server has gone silent by now."""
        if self._heard is None:
            self._heard = heard
        elif heard - self._heard > APART_S:
            self._longest_s = max(self._longest_s, heard - self._heard)
            self._heard = heard
            self._count += 1
        return self._count >= ENOUGH and now - heard > max(SILENT_S, 3 * self._longest_s)


def last_heard() -> float | None:
    """When the process's one TCP socket received something (monotonic); None without just one."""
    found = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found += _last_heard(int(name))
        except OSError:
            continue  # the one that listed them
    return found[0] if len(found) == 1 else None


def _last_heard(number: int) -> list[float]:
    with socket.socket(fileno=os.dup(number)) as connection:  # FFmpeg's stays open
        if connection.family == socket.AF_UNIX or connection.type != socket.SOCK_STREAM:
            return []
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return [monotonic() - int.from_bytes(info[LAST_DATA_RECV], sys.byteorder) / 1e3]
