"""When a recording's file ends, and which of the files have to go: pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from streamsr.media.recordings import Recording

__all__ = ["Clock", "due", "to_remove"]

STEP_S = 60.0  # more than any clock is slewed between two readings: somebody has set it
STEADY_S = 3600.0  # without a step until age counts: for somebody to see it and to put it right
AGED_AT_ONCE = 3  # files: at a check every few seconds, more than any stream makes


class Clock:
    """The wall clock, compared with one that nobody sets.

    Recordings are removed by age only while it is ``steady``. It is not at first: a machine may
    have started with a wrong one.
    """

    def __init__(self, wall: datetime, monotonic_s: float) -> None:
        self.wall = wall  # when it was read last
        self._monotonic_s = monotonic_s  # likewise
        self._since_s = monotonic_s  # no step has been seen from then on

    def read(self, wall: datetime, monotonic_s: float) -> None:
        """Notes what both clocks say now."""
        went_s = (wall - self.wall).total_seconds()
        if abs(went_s - (monotonic_s - self._monotonic_s)) > STEP_S:
            self._since_s = monotonic_s
        self.wall, self._monotonic_s = wall, monotonic_s

    @property
    def steady(self) -> bool:
        """Whether it has not been set for an hour."""
        return self._monotonic_s - self._since_s >= STEADY_S


def due(began_s: float, keyframe_s: float, segment_s: float) -> bool:
    """Returns whether a file that began at one time ends before the keyframe at another."""
    return keyframe_s - began_s >= segment_s - 0.001  # a time base has no exact value for it


def to_remove(
    recordings: Iterable[Recording],
    now: datetime,
    *,
    keep_s: float | None,
    free_bytes: int,
    wanted_bytes: int,
) -> Sequence[Recording]:
    """Returns a few that are older than ``keep_s``, and the oldest ones whose space is wanted."""
    removed: list[Recording] = []
    for recording in sorted(recordings):
        old = keep_s is not None and (now - recording.started).total_seconds() > keep_s
        if free_bytes < wanted_bytes or (old and len(removed) < AGED_AT_ONCE):
            removed.append(recording)
            free_bytes += recording.size
    return removed
