"""What recordings are called, and which files of a folder are one stream's: pure.

A file is a stream's own only if its name says so exactly; nothing else is ever counted, removed or
shown.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Recording", "name_of", "recording_of"]

STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, order=True)
class Recording:
    """One file of a stream's recordings; they sort from the oldest to the newest."""

    started: datetime  # UTC, as in its name
    number: int  # of those that started in that second, from 1
    name: str
    size: int  # bytes


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
