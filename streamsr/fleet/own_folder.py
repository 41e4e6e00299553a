"""Temporary folders of a process that may be killed: the next one like it removes what it left."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["hand_over", "is_running", "make_own_folder", "name_of_process"]

OWNER = "owner"  # a file, with the process that the folder is of


def make_own_folder(prefix: str) -> Path:
    """Makes a temporary folder of this process, which it is to remove, and removes those of its
    prefix whose processes are gone. Raises OSError."""
    for file in Path(tempfile.gettempdir()).glob(f"{prefix}*/{OWNER}"):
        with suppress(OSError):
            if file.stat().st_uid == os.getuid() and not is_running(file.read_text().strip()):
                shutil.rmtree(file.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    hand_over(folder, os.getpid())
    return folder


def hand_over(folder: Path, pid: int) -> None:
    """Has a folder be of another process. Raises OSError."""
    (folder / OWNER).write_text(name_of_process(pid))


def name_of_process(pid: int) -> str:
    """Returns what no other process of this machine is called by: its number, the tick at which it
    started, and the namespace of its number. Raises OSError where there is none."""
    stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z":
        raise ProcessLookupError(f"process {pid} has ended")
    return f"{pid} {fields[19]} {os.readlink('/proc/self/ns/pid')}"


def is_running(name: str) -> bool:
    """Whether a process of that name runs; True where that cannot be told from here."""
    pid, _, rest = name.partition(" ")
    if not pid.isdecimal() or not rest.endswith(os.readlink("/proc/self/ns/pid")):
        return True
    try:
        return name_of_process(int(pid)) == name
    except OSError:
        return False
