"""The one deadline of a stop: made where the stop is asked for, and passed down."""

from dataclasses import dataclass
from time import monotonic
from typing import Self

__all__ = ["OUTPUTS_SHARE", "STOP_S", "STREAM_SHARE", "WORKERS_SHARE", "Deadline"]

STOP_S = 5.0
"""Seconds that a stop may take, with every peer frozen too; ARCHITECTURE.md has the shares."""

STREAM_SHARE, OUTPUTS_SHARE, WORKERS_SHARE = 0.4, 0.8, 0.9
"""Of a stop: until streams have delivered what they read, outputs have finished, workers ended."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A span of the monotonic clock, in seconds, by whose end something must have stopped."""

    begin_s: float
    end_s: float

    @classmethod
    def after(cls, seconds: float = STOP_S) -> Self:
        """The deadline that is ``seconds`` away from now."""
        now_s = monotonic()
        return cls(now_s, now_s + seconds)

    def share(self, part: float) -> "Deadline":
        """The first ``part`` of it, 0 to 1: what has to be done before the rest can begin."""
        return Deadline(self.begin_s, self.begin_s + part * (self.end_s - self.begin_s))

    def left_s(self) -> float:
        """Seconds until it is over; 0 once it is."""
        return max(0.0, self.end_s - monotonic())
