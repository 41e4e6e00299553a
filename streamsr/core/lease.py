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
from pathlib import Path
from typing import Self
from urllib.parse import quote

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


class LeaseFolder:
    """The leases of one node's cameras, made for that run of it and granted by who supervises it.

    A process that a node of another run left behind reads another folder, where nothing is granted
    any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._leases: dict[str, Lease] = {}

    @classmethod
    def made(cls, folder: Path) -> Self:
        """Makes the folder, for this user alone. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True)
        return cls(folder)

    def path_of(self, camera: str) -> Path:
        """Returns the file of a camera, which is made where there is none. Raises OSError."""
        path = self.folder / f"{quote(camera, safe='')}.lease"
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.write_bytes(MOMENT.pack(ENDED_NS))
            partial.rename(path)
        return path

    def grant(self, camera: str, until_ns: int) -> None:
        """Lets a camera be published until then. Raises OSError."""
        self._lease(camera).until_ns = until_ns

    def end(self, camera: str) -> None:
        """Lets a camera be published no more, from now on."""
        if camera in self._leases:
            self._leases[camera].until_ns = ENDED_NS

    def end_all(self) -> None:
        for camera in self._leases:
            self.end(camera)

    def _lease(self, camera: str) -> Lease:
        if camera not in self._leases:
            self._leases[camera] = Lease(self.path_of(camera), writable=True)
        return self._leases[camera]
