"""Which files are a stream's recordings, what the next is called, and which have to go: pure.

A file is a stream's own only if its name says so exactly; nothing else is ever counted or removed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Recording", "due", "name_of", "recording_of", "to_remove"]

STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, order=True)
class Recording:
    """One file of a stream's recordings; they sort from the oldest to the newest."""

    started: datetime  # UTC, as in its name
    number: int  # of those that started in that second, from 1
    name: str
    size: int  # bytes


def name_of(stream: str, started: datetime, number: int = 1) -> str:
    """The name of a file that begins at a time in UTC: NAME-20261124T120000Z.mp4, then …Z-2.mp4."""
    again = "" if number == 1 else f"-{number}"
    return f"{stream}-{started.strftime(STAMP)}{again}.mp4"


def recording_of(stream: str, name: str, size: int = 0) -> Recording | None:
    """The recording of ``stream`` that a file name stands for; None where it is not one."""
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
    """Whether a file that began at one time ends before the keyframe at another."""
    return keyframe_s - began_s >= segment_s - 0.001  # a time base cannot say every moment


def to_remove(
    recordings: Iterable[Recording],
    now: datetime,
    *,
    keep_s: float | None,
    free_bytes: int,
    wanted_bytes: int,
) -> Sequence[Recording]:
    """Those that are older than ``keep_s``, and the oldest ones whose room is wanted."""
    removed = []
    for recording in sorted(recordings):
        old = keep_s is not None and (now - recording.started).total_seconds() > keep_s
        if old or free_bytes < wanted_bytes:
            removed.append(recording)
            free_bytes += recording.size
    return removed
