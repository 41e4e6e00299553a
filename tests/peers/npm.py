"""Packages of npm that run in a browser: fetched once, and kept in pytest's cache."""

import shutil
import subprocess
import tarfile
from pathlib import Path

__all__ = ["NPM_INSTALL", "npm_file", "npm_path"]

NPM_INSTALL = "apt-get install npm"
FETCH_S = 60.0
SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since Python 3.11.4


def npm_path() -> str | None:
    return shutil.which("npm")


def npm_file(package: str, name: str, folder: Path) -> str:
    """The text of a file of a package, "NAME@VERSION", which is kept in ``folder``."""
    kept = folder / package.replace("/", "-")
    if not kept.exists():
        path = npm_path()
        if path is None:
            raise RuntimeError(f"npm is not installed: {NPM_INSTALL}")
        command = [path, "pack", "--silent", "--pack-destination", str(folder), package]
        packed = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=FETCH_S, cwd=folder
        )
        archive = folder / packed.stdout.strip().splitlines()[-1]
        with tarfile.open(archive) as opened:
            opened.extractall(kept, **SAFELY)
        archive.unlink()
    return (kept / "package" / name).read_text(encoding="utf-8")
