"""Temporary files on a system that cannot be written: they go into memory. And whose files are."""

import logging
import os
import tempfile
from pathlib import Path

__all__ = ["FILE_MASK", "keep_in_memory"]

logger = logging.getLogger("streamsr")
FILE_MASK = 0o027  # of recordings, HLS and what belongs to them: 0640, folders 0750
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
