"""What is half done lies in a folder beside the output that it becomes: whether one is ours.

Only such a folder is ever removed: somebody may call a folder of their own ``holiday.mp4.partial``.
"""

import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from streamsr.core.errors import OutputError

__all__ = ["ENDING", "check_ours", "folder_of", "half_done_in", "is_ours", "remove_ours"]

ENDING = ".partial"
NAMES = re.compile(
    r"\..*|job\.json|commits\.jsonl|video\.packets|images|joined|former|parts"
    r"|memory-[0-9]+\.safetensors"
)
FIRST = "video.packets"  # what is in it from the beginning


def folder_of(path: Path) -> Path:
    """Returns the folder of what is half done and becomes ``path``."""
    return path.with_name(path.name + ENDING)


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


def remove_ours(folder: Path) -> None:
    """Removes what is half done, if it is that. Raises OSError."""
    if is_ours(folder):
        shutil.rmtree(folder)


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
