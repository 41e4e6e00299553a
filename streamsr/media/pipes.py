"""Byte streams that cannot be sought: stdin, stdout, named pipes, and files that still grow.

FFmpeg's own would wait inside a system call, where nothing can end them. These wait in Python.
"""

import errno
import math
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Protocol, Self

from streamsr.core.errors import InputError
from streamsr.media.addresses import STDIO

__all__ = ["ByteReader", "PipeWriter", "open_growing", "open_pipe"]

WAIT_S = 0.1  # between two looks at whether bytes have come, or the stream is to stop


class ByteReader(Protocol):
    """What PyAV reads from. It is sought in where it has ``seek``, as files have that are whole."""

    @property
    def name(self) -> object: ...

    def read(self, size: int) -> bytes: ...

    def close(self) -> None: ...


class _Reader:
    name = "pipe:"  # no path: formats that read files by themselves would open it again

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        self._descriptor = descriptor
        self._stop = stop

    def close(self) -> None:
        os.close(self._descriptor)


class _PipeReader(_Reader):
    """Bytes of a pipe, to its end or until ``stop`` is set."""

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        super().__init__(descriptor, stop)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def read(self, size: int) -> bytes:
        """Returns what has come, of at most ``size`` bytes, waiting for it; none at the end."""
        while not self._stop.is_set():
            try:
                if self._poll.poll(WAIT_S * 1e3):  # bytes, or no writer any more
                    return os.read(self._descriptor, size)
            except BlockingIOError:  # another reader of the same pipe was quicker
                continue
        return b""


class _GrowingReader(_Reader):
    """Bytes of a file that is written meanwhile, until it has not grown for ``quiet_s``."""

    def __init__(self, descriptor: int, stop: threading.Event, quiet_s: float) -> None:
        super().__init__(descriptor, stop)
        self._quiet_s = quiet_s
        self._ended = False

    def read(self, size: int) -> bytes:
        """Returns what there is, of at most ``size`` bytes, waiting for it; none at the end."""
        waiting_since = monotonic()
        while not (self._ended or self._stop.is_set()):
            data = os.read(self._descriptor, size)
            if data:
                return data
            self._ended = monotonic() - waiting_since >= self._quiet_s or self._is_shorter()
            self._stop.wait(WAIT_S)
        return b""

    def _is_shorter(self) -> bool:
        """Whether it was cut off: what is written next stands where it was read already."""
        read = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        return os.fstat(self._descriptor).st_size < read


def open_pipe(path: str, stop: threading.Event) -> ByteReader:
    """Opens stdin, for "-", or a named pipe. Raises InputError.

    A named pipe has time: its writer may come later. A file on stdin may be sought in.
    """
    try:
        if path != STDIO:  # opened at once, whether there is a writer or not
            return _PipeReader(os.open(path, os.O_RDONLY | os.O_NONBLOCK), stop)
        if sys.stdin is None or os.isatty(0):  # None: it was closed, and 0 is something else now
            raise InputError("input -: stdin is closed or a terminal, allowed is a pipe or a file")
        if stat.S_ISREG(os.fstat(0).st_mode):
            return os.fdopen(os.dup(0), "rb")
        return _PipeReader(os.dup(0), stop)
    except OSError as error:
        raise InputError(f"input {path}: cannot be opened: {error.strerror}") from None


def open_growing(path: str, stop: threading.Event, quiet_s: float) -> ByteReader:
    """Opens a file that ends once it has not grown for ``quiet_s``. Raises InputError."""
    try:
        return _GrowingReader(os.open(path, os.O_RDONLY), stop, quiet_s)
    except OSError as error:
        raise InputError(f"input {path}: cannot be opened: {error.strerror}") from None


class PipeWriter:
    """stdout, for "-", or a named pipe: what PyAV writes to, at the pace of whoever reads.

    It waits ``most_s`` at most for a reader and for what it takes, and once ``stop`` is set not at
    all: from then on it writes what is taken at once, up to the first bytes that are not.
    """

    name = "pipe:"

    def __init__(self, descriptor: int, stop: threading.Event, most_s: float | None) -> None:
        self._descriptor = descriptor
        self._stop, self._most_s = stop, most_s
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.cut = False  # its reader has not taken all: the rest is left out

    @classmethod
    def open(cls, path: Path, stop: threading.Event, most_s: float | None = None) -> Self:
        """Raises OSError where it cannot be opened, or no program reads from it in time."""
        if str(path) == STDIO:
            sys.stdout.flush()
            return cls(os.dup(1), stop, most_s)
        waiting_since = monotonic()
        while True:
            try:
                return cls(os.open(path, os.O_WRONLY | os.O_NONBLOCK), stop, most_s)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            if stop.wait(WAIT_S) or monotonic() - waiting_since > (most_s or math.inf):
                raise OSError(errno.ENXIO, "no program reads from it")

    def write(self, data: bytes) -> int:
        """Writes all of it, but what is left out. Raises OSError where the reader is gone, or has
        taken nothing for too long."""
        left = memoryview(data)
        while left and not self.cut and self._takes():
            with suppress(BlockingIOError):  # another writer of the same pipe was quicker
                left = left[os.write(self._descriptor, left[: select.PIPE_BUF]) :]
        return len(data)

    def close(self) -> None:
        os.close(self._descriptor)

    def _takes(self) -> bool:
        """Waits until a write of PIPE_BUF bytes would not; returns whether it is so."""
        waiting_since = monotonic()
        while not self._poll.poll(WAIT_S * 1e3):
            late = monotonic() - waiting_since > (self._most_s or math.inf)
            self.cut = late or self._stop.is_set()
            if late:
                raise OSError(errno.ETIMEDOUT, f"its reader took nothing for {self._most_s:g} s")
            if self.cut:
                return False
        return True
