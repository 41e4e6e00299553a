"""What training writes: whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from streamsr.core import files
from streamsr.core.errors import OutputError

__all__ = ["make_folder", "whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Opens what becomes ``path`` once the block is over; where that fails nothing is left of it.

    Raises OutputError where it cannot be written, as where the disk is full.
    """
    try:
        with files.whole_file(path, synced=False) as file:
            yield file
    except OSError as error:
        why = error.strerror or "the disk is full"  # numpy wrote less than it was given
        raise OutputError(f"{path}: cannot be written: {why}") from None


def make_folder(folder: Path) -> None:
    """Makes a folder, and those that it is in. Raises OutputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None
