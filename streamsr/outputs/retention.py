"""Which files are a stream's recordings, what the next is called, and which have to go: pure.

A file is a stream's own only if its name says so exactly; nothing else is ever counted or removed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Clock", "Recording", "due", "name_of", "recording_of", "to_remove"]

STAMP = "%Y%m%dT%H%M%SZ"
STEP_S = 60.0  # more than any clock is slewed between two readings: somebody has set it
STEADY_S = 3600.0  # without a step until age counts: for somebody to see it and to put it right
AGED_AT_ONCE = 3  # files: at a check every few seconds, more than any stream makes


@dataclass(frozen=True, slots=True, order=True)
class Recording:
    """One file of a stream's recordings; they sort from the oldest to the newest."""

    started: datetime  # UTC, as in its name
    number: int  # of those that started in that second, from 1
    name: str
    size: int  # bytes


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


def name_of(stream: str, started: datetime, number: int = 1) -> str:
    """Returns the name of a file that begins then: cam-20261124T120000Z.mp4, …Z-2.mp4."""
    again = "" if number == 1 else f"-{number}"
    return f"{stream}-{started.strftime(STAMP)}{again}.mp4"


def recording_of(stream: str, name: str, size: int = 0) -> Recording | None:
    """Returns the recording of ``stream`` that a file name stands for; None where it is not one."""
    match = re.fullmatch(rf"{re.escape(stream)}-(\d{{8}}T\d{{6}}Z)(?:-(\d{{1,6}}))?\.mp4", name)
    if match is None:
        return None
    try:
        started = datetime.strptime(match.group(1), STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    number = int(match.group(2) or 1)
    found = Recording(started, number, name, size)
    return found if name_of(stream, started, number) == name else None


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
