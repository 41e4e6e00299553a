"""Until when a camera may be published, in a file that every process of its machine can read.

Who grants writes a moment into the file; who publishes reads it before each write. Moments are
nanoseconds of the one clock that all processes of a machine share, and that goes on while the
machine is suspended. Each file is eight bytes, mapped: a moment is read and written in one piece,
and costs no call of the system.
"""

import mmap
import os
import struct
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from streamsr.core.files import write_whole

__all__ = ["CLOCK", "MOMENT", "Lease", "LeaseFolder", "now_ns"]

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # on Linux it counts suspension
MOMENT = struct.Struct("=q")  # aligned by the map's page: it is written whole
ENDED_NS = 0


def now_ns() -> int:
    """Returns the moment it is, in nanoseconds of the machine's clock for leases."""
    return time.clock_gettime_ns(CLOCK)


class Lease:
    """One camera's file. Raises OSError where it cannot be opened, or is none."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        flags = os.O_RDWR if writable else os.O_RDONLY
        descriptor = os.open(path, flags | os.O_CLOEXEC)
        try:
            self._file = _identity(os.fstat(descriptor))
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, MOMENT.size, access=access)
        except ValueError as error:
            raise OSError(f"{path}: {error}") from None
        finally:
            os.close(descriptor)

    @property
    def until_ns(self) -> int:
        """Until when the camera may be published; a moment that is past where it may not."""
        moment: int = MOMENT.unpack_from(self._map)[0]
        return moment

    @until_ns.setter
    def until_ns(self, moment: int) -> None:
        MOMENT.pack_into(self._map, 0, moment)

    def holds(self) -> bool:
        return now_ns() < self.until_ns

    def is_at(self, path: Path) -> bool:
        """Whether the file there is this one. Raises OSError."""
        return _identity(path.stat()) == self._file


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class LeaseFolder:
    """The leases of one node's cameras, made for that run of it and granted by who supervises it.

    A process that a node of another run left behind reads another folder, where nothing is granted
    any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._leases: defaultdict[str, list[Lease]] = defaultdict(list)  # the newest last

    @classmethod
    def made(cls, folder: Path) -> Self:
        """Makes the folder, for this user alone. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True)
        return cls(folder)

    def path_of(self, camera: str) -> Path:
        """Returns the file of a camera, which is made where there is none and one can be made."""
        path = self.folder / f"{quote(camera, safe='')}.lease"
        if not path.exists():
            with suppress(OSError):  # who opens it meets that
                write_whole(path, MOMENT.pack(ENDED_NS), synced=False)
        return path

    def grant(self, camera: str, until_ns: int) -> None:
        """Lets a camera be published until then. Raises OSError where no new file can be made.

        One that somebody has removed, as who tidies temporary folders does, is made again; who has
        it open still reads that, which is granted the same.
        """
        for lease in self._leases[camera]:
            lease.until_ns = until_ns
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path_of(camera)
        if not self._leases[camera] or not self._leases[camera][-1].is_at(path):
            self._leases[camera].append(Lease(path, writable=True))
            self._leases[camera][-1].until_ns = until_ns

    def end(self, camera: str) -> None:
        """Lets a camera be published no more, from now on."""
        for lease in self._leases.get(camera, ()):
            lease.until_ns = ENDED_NS

    def end_all(self) -> None:
        for camera in self._leases:
            self.end(camera)
