"""What processes take of a machine's cores, as Linux counts it."""

import os
from pathlib import Path
from time import monotonic

__all__ = ["CpuUsage"]

TICKS_S = os.sysconf("SC_CLK_TCK")  # a second
PROC = Path("/proc")
PARENT, TIMES = 1, slice(11, 13)  # of proc_pid_stat(5), after the name: user and system


class CpuUsage:
    """The CPU time of a process and of all that it started, between two looks."""

    def __init__(self) -> None:
        self._seen_s = monotonic()
        self._ticks: dict[int, int] = {}  # by process

    def look(self, pid: int | None) -> float:
        """Returns what it took since the last look, in milliseconds a second; 0 without a process.

        What ended between two looks is left out.
        """
        now_s, before = monotonic(), self._ticks
        spans_s, self._seen_s = now_s - self._seen_s, now_s
        self._ticks = _ticks_of_tree(pid) if pid is not None else {}
        taken = sum(n - before[pid] for pid, n in self._ticks.items() if pid in before)
        return max(0.0, taken / TICKS_S / max(spans_s, 0.001) * 1e3)


def _ticks_of_tree(root: int) -> dict[int, int]:
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in os.listdir(PROC) if PROC.exists() else ():
        if name.isdecimal():
            try:
                fields = (PROC / name / "stat").read_text().rpartition(")")[2].split()
            except (OSError, UnicodeDecodeError):
                continue  # it has ended meanwhile
            parents[int(name)] = int(fields[PARENT])
            ticks[int(name)] = sum(int(field) for field in fields[TIMES])
    tree = {root} & ticks.keys()
    grown = tree
    while grown:
        grown = {pid for pid, parent in parents.items() if parent in grown} - tree
        tree |= grown
    return {pid: ticks[pid] for pid in tree}
