"""What processes take of a machine's cores, as Linux counts it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from time import clock_gettime, monotonic

__all__ = ["CpuUsage", "Usage"]

TICKS_S = os.sysconf("SC_CLK_TCK")  # a second
PROC = Path("/proc")
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # that /proc counts by
PARENT, TIMES, BEGUN = 1, slice(11, 13), 19  # of proc_pid_stat(5), after the name
STARTS_S = 10.0  # how long a process may be starting: importing takes it more than running will


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes took of late."""

    taken_ms: float  # of CPU time, a second
    starts: bool = False  # at least one of them


@dataclass(frozen=True, slots=True)
class _Process:
    ticks: int  # of CPU time
    begun: int  # ticks since the machine was booted


class CpuUsage:
    """The CPU time of a process and of all that it started, between two looks."""

    def __init__(self) -> None:
        self._seen_s = monotonic()
        self._processes: dict[int, _Process] = {}

    def look(self, pid: int | None) -> Usage:
        """Returns what they took since the last look; nothing without a process.

        What ended between two looks is left out.
        """
        now_s, before = monotonic(), self._processes
        spans_s, self._seen_s = now_s - self._seen_s, now_s
        self._processes = _tree(pid) if pid is not None else {}
        took = sum(
            process.ticks - before[pid].ticks
            for pid, process in self._processes.items()
            if pid in before and before[pid].begun == process.begun
        )
        settled_by = (clock_gettime(CLOCK) - STARTS_S) * TICKS_S
        starts = any(process.begun > settled_by for process in self._processes.values())
        return Usage(took / TICKS_S / max(spans_s, 0.001) * 1e3, starts)


def _tree(root: int) -> dict[int, _Process]:
    parents: dict[int, int] = {}
    found: dict[int, _Process] = {}
    for name in os.listdir(PROC) if PROC.exists() else ():
        if name.isdecimal():
            try:
                fields = (PROC / name / "stat").read_text().rpartition(")")[2].split()
            except (OSError, UnicodeDecodeError):
                continue  # it has ended meanwhile
            parents[int(name)] = int(fields[PARENT])
            ticks = sum(int(field) for field in fields[TIMES])
            found[int(name)] = _Process(ticks, int(fields[BEGUN]))
    tree = {root} & found.keys()
    grown = tree
    while grown:
        grown = {pid for pid, parent in parents.items() if parent in grown} - tree
        tree |= grown
    return {pid: found[pid] for pid in tree}
