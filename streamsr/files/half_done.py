"""What is half done lies in a folder beside the output that it becomes: whether one is ours.

Only such a folder is ever removed: somebody may call a folder of their own ``holiday.mp4.partial``.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from streamsr.core.errors import OutputError

__all__ = [
    "DONE",
    "ENDING",
    "FIRST",
    "check_ours",
    "empty_ours",
    "folder_of",
    "half_done_in",
    "is_ours",
    "open_alone",
    "remove_ours",
]

ENDING = ".partial"
NAMES = re.compile(
    r"\..*|job\.json|done\.json|commits\.jsonl|video\.packets|images|joined|former|parts"
    r"|memory-[0-9]+\.safetensors"
)
DONE = "done.json"  # what has become of it, where there is no folder of outputs that says so
FIRST = "video.packets"  # what is in it from the beginning, and locked by who works there
LAST = (DONE, FIRST)  # what is removed at the end, in that order


def folder_of(path: Path, *, inside: bool = False) -> Path:
    """Returns the folder of what is half done and becomes ``path``; ``inside`` a folder that is
    filled as it is made."""
    return path / ENDING if inside else path.with_name(path.name + ENDING)


def is_ours(folder: Path) -> bool:
    """Whether a folder is of something half done. Raises OSError."""
    return folder.is_dir() and not folder.is_symlink() and not _foreign([*folder.iterdir()])


def check_ours(folder: Path) -> None:
    """Raises OutputError where there is something else of that name, and OSError."""
    if (folder.exists() or folder.is_symlink()) and not is_ours(folder):
        raise OutputError(
            f"output {folder}: got something that is not streamsr's, allowed is nothing of that "
            "name: what is half done goes there"
        )


def open_alone(first: Path) -> BinaryIO:
    """Opens the first file in such a folder, made where it is missing, to be written at its end.

    Raises OSError, and OutputError where another program has it open: two would take each other's
    half for theirs.
    """
    while True:
        first.parent.mkdir(parents=True, exist_ok=True)
        file = first.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise OutputError(
                f"output {first.parent}: another streamsr works there, allowed is one at a time"
            ) from None
        except OSError:  # a file system without locks
            return file
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), first.stat()):
                return file
        file.close()  # the other has just removed it


def empty_ours(folder: Path, but: Collection[str] = (FIRST,)) -> None:
    """Removes all that is in such a folder ``but`` what is called so. Raises OSError."""
    for path in folder.iterdir():
        if path.name in but:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def remove_ours(folder: Path) -> None:
    """Removes what is half done, if it is that. Raises OSError.

    Killed on the way it is still known for ours, and what it has become until the end.
    """
    if is_ours(folder):
        empty_ours(folder, but=LAST)
        for name in LAST:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def half_done_in(folder: Path) -> list[Path]:
    """Returns every folder of something half done below ``folder``."""
    named = sorted(folder.rglob(f"*{ENDING}"))
    with suppress(OSError):  # it is about to be gone
        return [one for one in named if (one / FIRST).is_file() and is_ours(one)]
    return []


def _foreign(inside: Collection[Path]) -> bool:
    """Whether what is in a folder is not all ours."""
    names = {path.name for path in inside}
    return bool(names) and (FIRST not in names or not all(map(NAMES.fullmatch, names)))
