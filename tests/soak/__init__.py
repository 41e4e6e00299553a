"""Long tests, a share of which ``make soak SOAK=0.1`` runs, and what they have in common.

Where a quick test does the same in small, it is that test with another count: ``counts``.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

__all__ = ["Usage", "counts", "figure", "size_of", "soak"]

MORE_MB = 20  # that may be kept after a long run
MORE_FILES = 2  # likewise; a log may have been opened meanwhile
MORE_THREADS = 4 + (os.cpu_count() or 1)  # likewise: the event loop's pool fills as it is used


def size_of(whole: int) -> int:
    """Returns how many to do of what is ``whole`` in a full run, at least 3."""
    return max(3, round(whole * float(os.environ.get("STREAMSR_SOAK", "1"))))


def soak(hours: float) -> list[pytest.MarkDecorator]:
    """Marks of what may take so long."""
    return [pytest.mark.soak, pytest.mark.timeout(hours * 3600)]


def counts(usual: int, whole: int, hours: float = 1.0) -> pytest.MarkDecorator:
    """Runs a test with a ``count``: the usual one, and by ``make soak`` the whole."""
    return pytest.mark.parametrize(
        "count", [usual, pytest.param(size_of(whole), marks=soak(hours), id=f"soak-{whole}")]
    )


def figure(name: str, value: str) -> None:
    """Prints a line for the last column of docs/faults.md."""
    sys.stdout.write(f"\nfigure: {name}: {value}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Usage:
    """What processes hold, all together."""

    memory_mb: float  # resident
    files: int  # descriptors
    threads: int

    @classmethod
    def of(cls, *pids: int) -> Self:
        """Of these processes, or of this one."""
        memory, files, threads = 0.0, 0, 0
        for pid in pids or (os.getpid(),):
            folder = Path(f"/proc/{pid}")
            lines = (folder / "status").read_text().splitlines()
            status = dict(line.partition(":")[::2] for line in lines)
            memory += int(status["VmRSS"].split()[0]) / 1024
            threads += int(status["Threads"])
            files += len(os.listdir(folder / "fd"))
        return cls(memory, files, threads)

    def assert_flat(self, later: "Usage") -> None:
        """Asserts that what is held ``later`` is no more, but for noise."""
        assert later.memory_mb <= self.memory_mb + MORE_MB, (self, later)
        assert later.files <= self.files + MORE_FILES, (self, later)
        assert later.threads <= self.threads + MORE_THREADS, (self, later)

    def __str__(self) -> str:
        return f"{self.memory_mb:.0f} MB, {self.files} files, {self.threads} threads"
