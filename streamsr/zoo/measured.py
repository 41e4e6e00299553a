"""Figures measured once on a machine and kept in a file, so that a start need not wait for them.

They are kept by what they depend on: the processor, its cores, and the versions of streamsr and of
torch. Where the file cannot be written they are measured again by the next process.
"""

import json
import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from streamsr.core.files import write_whole

__all__ = ["Measured", "cache_folder", "machine_name"]

FILE_NAME = "measured.json"


def cache_folder() -> Path | None:
    """Returns the user's folder for what can be made again (XDG Base Directory Specification).

    None where the user has no home, as in some containers.
    """
    bases = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")
    return next((Path(base) / "streamsr" for base in bases if os.path.isabs(base)), None)


class Measured:
    """Figures by name. Any thread may ask; a figure is measured once, by one of them."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or cache_folder()
        self._path = folder / FILE_NAME if folder else None
        self._machine = machine_name()
        self._lock = threading.Lock()
        self._figures = self._read().get(self._machine, {})

    def of(self, name: str, measure: Callable[[], float]) -> float:
        """Returns a figure, ``measure``d where it is not known yet."""
        with self._lock:
            if name not in self._figures:
                self._figures[name] = measure()
                self._write()
            return self._figures[name]

    def known(self, name: str) -> float | None:
        """Returns a figure that was measured before; None of one that was not."""
        with self._lock:
            return self._figures.get(name)

    def _read(self) -> dict[str, dict[str, float]]:
        if self._path is None:
            return {}
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                str(machine): {str(name): float(figure) for name, figure in figures.items()}
                for machine, figures in kept.items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # there is none, or another program's

    def _write(self) -> None:
        if self._path is None:
            return
        kept = self._read()
        kept[self._machine] = kept.get(self._machine, {}) | self._figures
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(kept, indent=1).encode(), synced=False)


def machine_name() -> str:
    """Returns what figures depend on: the processor, its cores, and the versions."""
    parts = [_processor(), f"{os.cpu_count()} cores"]
    return ", ".join([*parts, *(f"{name} {version(name)}" for name in ("streamsr", "torch"))])


def _processor() -> str:
    """The processor's name and its instructions, as far as the system tells."""
    known = {"model name": "", "flags": ""}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in known:
                known[name.strip()] = value.strip()
    vectors = [flag for flag in known["flags"].split() if flag.startswith(("avx", "amx"))]
    return " ".join([known["model name"] or platform.machine(), *vectors])
