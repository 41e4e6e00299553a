"""What is left where a checkpoint was not fetched, told without torch."""

from pathlib import Path

from streamsr.core.errors import ModelError

__all__ = ["check_fetched"]

OTHERS = {  # how it begins, in small letters
    b"version https://git-lfs": "is a pointer of Git LFS: `git lfs pull` fetches the file itself",
    b"<!doctype html": "is a web page: the file itself was not downloaded",
    b"<html": "is a web page: the file itself was not downloaded",
}


def check_fetched(path: Path) -> None:
    """Raises ModelError where a file stands for another one, and OSError."""
    with path.open("rb") as file:
        begin = file.read(64).lstrip().lower()
    for head, what in OTHERS.items():
        if begin.startswith(head):
            raise ModelError(what)
