"""The first line of a file, where a user keeps one secret: a password, a token, an address."""

import os
import stat
from pathlib import Path

from streamsr.core.errors import ConfigError

__all__ = ["MOST_BYTES", "first_line", "first_line_bytes"]

MOST_BYTES = 2048  # of a line


def first_line(path: Path, where: str) -> str:
    """Returns the first line of a file in UTF-8, without its end; see ``first_line_bytes``."""
    try:
        return first_line_bytes(path, where).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: its first line is not UTF-8") from None


def first_line_bytes(path: Path, where: str) -> bytes:
    """Returns the first line of a file without its end. It never waits.

    Raises ConfigError, which says ``where`` the file was named, for what is no regular file, cannot
    be read, or begins with a line that is blank or too long.
    """
    try:
        with open(path, "rb", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{where}: it is no file, but a pipe or a device")
            line = file.readline(MOST_BYTES + 2).rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{where} cannot be read: it is no name of a file") from None
    if not line.strip() or len(line) > MOST_BYTES:
        raise ConfigError(
            f"{where}: got {len(line.strip())} bytes in its first line, allowed are 1 to "
            f"{MOST_BYTES}"
        )
    return line


def _at_once(path: str, flags: int) -> int:
    """Opens a file without waiting for who writes a pipe, or taking a terminal."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
