"""The controller's state, where it survives the controller, and the head with a file beside it."""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path

from streamsr.core.redact import redact
from streamsr.fleet.cluster import gcs
from streamsr.node.edits import write_whole
from streamsr.node.kept import state_folder

__all__ = ["RAY_ALONE", "KeptState", "file_of", "tell_who_has_ended"]

ENDED = "ended/"  # of keys: the process of the rest of it was seen to have ended
PREFIX = "fleet/"  # of keys; each controller has one of its own, with its number and process
RAY_ALONE = "STREAMSR_FLEET_KEPT_BY_RAY_ALONE"  # set for a cluster whose end is its fleet's
PRIVATE = 0o600  # it holds secrets

log = logging.getLogger("streamsr")


class KeptState:
    """In Ray's key-value store, which a head that is restarted may have lost, and in a file of the
    machine that the controller runs on, which it may not run on next time."""

    def __init__(self) -> None:
        self._path = file_of(gcs.address())
        self._told = False  # that the file cannot be written
        self._key = ""  # Ray's; the highest counts: a controller that was frozen overwrites nothing
        self.is_of_an_ended_process = False  # what was loaded; False in doubt

    def load(self) -> bytes | None:
        """Returns what was kept last, and takes it over; None where nothing was."""
        earlier = sorted(gcs.keys(PREFIX))
        last = earlier[-1] if earlier else f"{PREFIX}0"
        data = gcs.kept(last) or self._read()
        number = int(last.split("/")[1]) + 1
        self._key = f"{PREFIX}{number:012}/{gcs.this_node()}/{_process(os.getpid())}"
        self.is_of_an_ended_process = _has_ended(last) or gcs.kept(ENDED + last) is not None
        if data is not None:
            gcs.keep(self._key, data)
        for key in (*earlier, *gcs.keys(ENDED)):
            gcs.remove(key)
        return data

    def keep(self, data: bytes) -> None:
        """Raises what Ray does where its store cannot be reached."""
        gcs.keep(self._key, data)
        try:
            if self._path is not None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(self._path, data, PRIVATE)
        except OSError as error:
            if not self._told:
                self._told = True
                log.warning("fleet: what is wanted is kept by Ray alone: %s", redact(error))

    def remove(self) -> None:
        for key in gcs.keys(PREFIX):
            gcs.remove(key)
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _read(self) -> bytes | None:
        with suppress(OSError):
            return self._path.read_bytes() if self._path is not None else None
        return None


def file_of(address: str) -> Path | None:
    """Returns the file for the fleet of the cluster whose head is at HOST:PORT; None for none."""
    folder = state_folder()
    if folder is None or os.environ.get(RAY_ALONE):
        return None
    return folder / f"fleet-{re.sub(r'[^0-9A-Za-z.]+', '-', address)}.state"


def tell_who_has_ended() -> None:
    """Notes the controllers of this machine that have ended, for one that begins elsewhere."""
    for key in filter(_has_ended, gcs.keys(PREFIX)):
        gcs.keep(ENDED + key, b"1")


def _process(pid: int) -> str:
    """A process, as no later one of its number is: with the tick that it started at."""
    with open(f"/proc/{pid}/stat", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return f"{pid}-{fields[19]}" if fields[0] != "Z" else ""


def _has_ended(key: str) -> bool:
    """Whether the process of a key was one of this machine, and has ended."""
    _, _, node, process = (*key.split("/"), "", "")[:4]
    if node != gcs.this_node():
        return False
    try:
        return _process(int(process.partition("-")[0])) != process
    except OSError:
        return True
