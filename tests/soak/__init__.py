"""Long tests, a share of which ``make soak SOAK=0.1`` runs, and what they have in common."""

import os
import sys

__all__ = ["figure", "size_of"]


def size_of(whole: int) -> int:
    """Returns how many to do of what is ``whole`` in a full run, at least 3."""
    return max(3, round(whole * float(os.environ.get("STREAMSR_SOAK", "1"))))


def figure(name: str, value: str) -> None:
    """Prints a line for the last column of docs/faults.md."""
    sys.stdout.write(f"\nfigure: {name}: {value}\n")
    sys.stdout.flush()
