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

__all__ = ["Reports", "last_received_s"]

LAST_DATA_RECV = slice(52, 56)  # of Linux' struct tcp_info: milliseconds
ENOUGH = 3  # reports: from then on more are expected
APART_S = 1.0  # less, and it is one report, or the answers to our requests
SILENCE_S = 20.0  # or three times the longest time between two reports


class Reports:
    """The reports of one server, from the header's answer on. Pure: times are arguments."""

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._received_s: float | None = None  # when the newest came
        self._longest_s = 0.0  # between two
        self._count = 0

    def overdue(self, received_s: float, now_s: float) -> bool:
        """Notes when something was received last; returns whether too long ago by now."""
        if self._received_s is None:
            self._received_s = received_s
        elif received_s - self._received_s > APART_S:
            self._longest_s = max(self._longest_s, received_s - self._received_s)
            self._received_s = received_s
            self._count += 1
        limit_s = max(self._silence_s, 3 * self._longest_s)
        return self._count >= ENOUGH and now_s - received_s > limit_s


def last_received_s() -> float | None:
    """Returns when (monotonic) the process's TCP socket received something; None without one.

    None as well where there are several.
    """
    found = []
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found += _received_s(int(name))
        except OSError:
            continue  # the one that listed them
    return found[0] if len(found) == 1 else None


def _received_s(number: int) -> list[float]:
    with socket.socket(fileno=os.dup(number)) as connection:  # FFmpeg's stays open
        if connection.family == socket.AF_UNIX or connection.type != socket.SOCK_STREAM:
            return []
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return [monotonic() - int.from_bytes(info[LAST_DATA_RECV], sys.byteorder) / 1e3]
