"""How urgent Ray's processes are to the kernel: it starts them as the least urgent there are.

On a machine that cameras fill, what is to take the place of a controller that has died would not
begin for many seconds. All of it needs the right to make processes more urgent, and does nothing
without; Ray that is started with ``RAY_worker_niceness=0`` does without.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["Hurry", "as_urgent_as_others"]

USUAL, FIRST = 0, -10  # the lower the more urgent
STARTS = b"/workers/default_worker.py"  # of a command line, until Ray names what runs in it; that
NAMED = b"ray::IDLE", b"ray::ControllerActor", b"ray::HostActor"  # is known once it is imported
PROC = Path("/proc")


def as_urgent_as_others() -> None:
    """Makes this process, and what it starts from now on, as urgent as what Ray does not start."""
    _make(os.getpid(), USUAL)


class Hurry:
    """Has what Ray starts for a cluster on this machine begin before all else, while that lasts."""

    def __init__(self, cluster: str) -> None:
        """``cluster`` is the HOST:PORT of its head."""
        self._cluster = cluster.encode()
        self._before: dict[int, int] = {}  # by process: what it was started as

    def on(self) -> None:
        """To be called now and then, as long as something is waited for."""
        for pid in _starting(self._cluster):
            niceness = _niceness(pid)
            if niceness is not None and niceness > USUAL:
                _make(pid, FIRST)
                self._before.setdefault(pid, niceness)

    def off(self) -> None:
        """Takes it back, but for what has set its own since."""
        before, self._before = self._before, {}
        for pid, niceness in before.items():
            if _niceness(pid) == FIRST:
                _make(pid, niceness)


def _starting(cluster: bytes) -> Iterator[int]:
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if command.startswith(NAMED) or (STARTS in command and cluster in command):
                yield int(folder.name)


def _niceness(pid: int) -> int | None:
    with suppress(OSError):
        return os.getpriority(os.PRIO_PROCESS, pid)
    return None


def _make(pid: int, niceness: int) -> None:
    with suppress(OSError):
        for thread in os.listdir(PROC / str(pid) / "task"):  # on Linux each has its own
            os.setpriority(os.PRIO_PROCESS, int(thread), niceness)
