"""Byte streams that cannot be sought: stdin, stdout, named pipes, and files that still grow.

FFmpeg's own would wait inside a system call, where nothing can end them. These wait in Python.
"""

import os
import select
import stat
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Protocol, Self

from streamsr.core.errors import InputError
from streamsr.media.addresses import STDIO

__all__ = ["ByteReader", "PipeWriter", "open_growing", "open_pipe"]

WAIT_S = 0.1  # between two looks at whether bytes have come, or the stream is to stop


class ByteReader(Protocol):
    """What PyAV reads from. It is sought in where it has ``seek``, so these have none."""

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
    """stdout, for "-", or a named pipe, for whose reader it waits: what PyAV writes to."""

    name = "pipe:"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises OutputError where it is a terminal, and OSError where it cannot be opened."""
        if str(path) != STDIO:
            return cls(os.open(path, os.O_WRONLY))
        sys.stdout.flush()
        return cls(os.dup(1))

    def write(self, data: bytes) -> int:
        """Writes all of it, at the reader's pace. Raises OSError where the reader is gone."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        return len(data)

    def close(self) -> None:
        os.close(self._descriptor)
