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

__all__ = ["RAY_ALONE", "KeptState", "file_of"]

KEY = "fleet"
RAY_ALONE = "STREAMSR_FLEET_KEPT_BY_RAY_ALONE"  # set for a cluster whose end is its fleet's
PRIVATE = 0o600  # it holds secrets

log = logging.getLogger("streamsr")


class KeptState:
    """In Ray's key-value store, which a head that is restarted may have lost, and in a file of the
    machine that the controller runs on, which it may not run on next time."""

    def __init__(self) -> None:
        self._path = file_of(gcs.address())
        self._told = False  # that the file cannot be written

    def load(self) -> bytes | None:
        """Returns what was kept last; None where nothing was."""
        return gcs.kept(KEY) or self._read()

    def keep(self, data: bytes) -> None:
        """Raises what Ray does where its store cannot be reached."""
        gcs.keep(KEY, data)
        try:
            if self._path is not None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(self._path, data, PRIVATE)
        except OSError as error:
            if not self._told:
                self._told = True
                log.warning("fleet: what is wanted is kept by Ray alone: %s", redact(error))

    def remove(self) -> None:
        gcs.remove(KEY)
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
