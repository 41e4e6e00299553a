"""What every actor of the fleet does first in its process."""

import logging
import os
import re
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from streamsr.core.events.log import set_up_log
from streamsr.core.files import PRIVATE
from streamsr.fleet.cluster.urgency import as_urgent_as_others
from streamsr.node.kept import state_folder

__all__ = ["begin_actor"]

FOLDER = "fleet"  # of the state folder, for logs
MOST_BYTES = 32 * 2**20  # of a log; what is older is in a second file, of as much
LOOK_S = 60.0  # between two looks at its size

log = logging.getLogger("streamsr")


def begin_actor(name: str) -> None:
    """Has the log of this process, and of all that it starts, in a file of this machine's own.

    Ray keeps what its processes write, shows it to all who have its logs, and ships it to others:
    addresses of cameras are not to be there, not even without their passwords. Also takes back that
    Ray starts processes as the least urgent there are; those without the right to that stay so,
    unless Ray is started with ``RAY_worker_niceness=0``.
    """
    _log_apart(name)
    set_up_log()
    as_urgent_as_others()


def _log_apart(name: str) -> None:
    """Ray's own log is told where it is, or why there is none."""
    folder = state_folder()
    file_name = re.sub(r"[^\w.-]", "-", name) + ".log"
    path = (folder or Path("/")) / FOLDER / file_name
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
        said = f"streamsr: the log of {name} is {path}"
    except OSError as error:
        file = os.open(os.devnull, os.O_WRONLY)
        said = (
            f"streamsr: there is no log of {name}: {path}: {error.strerror}; STATE_DIRECTORY or "
            "XDG_STATE_HOME of Ray's environment names a folder that can be written"
        )
    sys.stderr.write(f"{said}\n")
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(file, number)
    os.close(file)
    threading.Thread(target=_keep_short, args=(path,), name="log", daemon=True).start()


def _keep_short(path: Path) -> None:
    """Empties a log that has grown long, which all that write to it append to; a copy is kept."""
    while True:
        time.sleep(LOOK_S)
        with suppress(OSError):
            if path.stat().st_size > MOST_BYTES:
                shutil.copy(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)
