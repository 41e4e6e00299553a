"""Files on a disk: those that are there whole or not at all, temporary ones, and whose they are."""

import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["FILE_MASK", "PRIVATE", "keep_in_memory", "sync", "whole_file", "write_whole"]

logger = logging.getLogger("streamsr")
FILE_MASK = 0o027  # of recordings, HLS and what belongs to them: 0640, folders 0750
PRIVATE = 0o600  # permissions of what holds a secret
ANYBODY_S = 0o666  # of any other new file, less what the process masks
NAME_SHOWN = 40  # characters of a file's name in that of what becomes it: names may be 255 bytes
MEMORY = "/dev/shm"  # a file system in memory, of Linux


def keep_in_memory() -> None:
    """Makes temporary files of this process and its children go into memory, if they must.

    Python would take the working directory next, where nobody looks for them.
    """
    asked = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    try:
        found = tempfile.gettempdir()
        if asked or Path(found) != Path.cwd():
            return
    except OSError:
        pass
    if os.access(MEMORY, os.W_OK | os.X_OK):
        tempfile.tempdir = os.environ["TMPDIR"] = MEMORY
        logger.warning(
            "no temporary folder can be written: temporary files are kept in memory, in %s", MEMORY
        )


@contextmanager
def whole_file(path: Path, mode: int | None = None, *, synced: bool = True) -> Iterator[BinaryIO]:
    """Opens what becomes ``path`` once the block is over; where that fails nothing is left of it.

    ``mode`` are its permissions, from the first byte on; None: those of any new file. ``synced``:
    it is on the disk by then, though the machine loses its power. Killed on the way, a hidden file
    beside it stays. Raises OSError.
    """
    written = path.with_name(f".{path.name[:NAME_SHOWN]}.{secrets.token_hex(4)}.partial")
    new = PRIVATE if mode is not None else ANYBODY_S
    begun = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, new)
    try:
        with os.fdopen(begun, "wb") as file:
            if mode is not None:
                os.fchmod(begun, mode)
            yield file
            file.flush()
            if synced:
                os.fsync(begun)
        written.replace(path)
        if synced:
            sync(path.parent)
    finally:
        written.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes, mode: int | None = None, *, synced: bool = True) -> None:
    """Writes a file as ``whole_file`` does. Raises OSError."""
    with whole_file(path, mode, synced=synced) as file:
        file.write(data)


def sync(path: Path) -> None:
    """Has a file, or a folder's names, be on the disk. Raises OSError."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
