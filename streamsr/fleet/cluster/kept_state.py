"""The controller's state, where it survives the controller, and the head with a file beside it."""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from streamsr.core.files import PRIVATE, write_whole
from streamsr.core.redact import redact
from streamsr.fleet.cluster import gcs
from streamsr.node.kept import state_folder

__all__ = ["RAY_ALONE", "KeptState", "file_of", "tell_that_it_left", "tell_who_has_ended"]

ENDED = "ended/"  # of keys: the process of the rest of it was seen to have ended
LEFT = "left/"  # of keys; each a host that publishes nothing more, and its incarnation
PREFIX = "fleet/"  # of keys; each controller has one of its own, with its number and process
RAY_ALONE = "STREAMSR_FLEET_KEPT_BY_RAY_ALONE"  # set for a cluster whose end is its fleet's

log = logging.getLogger("streamsr")


class KeptState:
    """In Ray's key-value store, which a head that is restarted may have lost, and in a file of the
    machine that the controller runs on, which it may not run on next time."""

    def __init__(self) -> None:
        self._path = file_of(gcs.address())
        self._told = False  # that the file cannot be written
        self._key = ""  # Ray's; the highest counts: a controller that was frozen overwrites nothing
        self.is_of_an_ended_process = False  # what was loaded; False in doubt
        self.left: frozenset[tuple[str, int]] = frozenset()  # hosts that have said so since

    def load(self) -> bytes | None:
        """Returns what was kept last, and takes it over; None where nothing was."""
        earlier = sorted(gcs.keys(PREFIX))
        last = earlier[-1] if earlier else f"{PREFIX}0"
        kept = gcs.kept(last)
        data = kept or self._read()
        number = int(last.split("/")[1]) + 1
        self._key = f"{PREFIX}{number:012}/{gcs.this_node()}/{_process(os.getpid())}"
        ended = _has_ended(last) or gcs.kept(ENDED + last) is not None
        self.is_of_an_ended_process = bool(kept) and ended
        notes = gcs.keys(LEFT)
        self.left = frozenset(map(_host_of, notes))
        gcs.keep(self._key, data or b"")
        for key in (*earlier, *gcs.keys(ENDED), *notes):
            gcs.remove(key)
        return data

    def resign(self) -> None:
        """Notes that its process decides nothing more, for one that begins elsewhere."""
        gcs.keep(ENDED + self._key, b"1")

    def is_newest(self) -> bool:
        """Whether no other controller has taken it over since, as far as Ray's store is there.

        Raises ConnectionError where it is not, and what Ray does where it cannot be reached.
        """
        keys = gcs.keys(PREFIX)
        if not keys:
            raise ConnectionError("Ray does not say who the controller is")
        return max(keys) == self._key

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


def tell_that_it_left(host: str, incarnation: int) -> None:
    """Notes that a host publishes nothing more, for a controller that begins."""
    gcs.keep(f"{LEFT}{quote(host, safe='')}/{incarnation}", b"1")


def _host_of(note: str) -> tuple[str, int]:
    _, host, incarnation = note.split("/")
    return unquote(host), int(incarnation)


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
