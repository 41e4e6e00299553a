"""Where the edits of a node are kept, as ``serve.edits`` of its file says."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from streamsr.core.errors import ConfigError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.settings import NodeSettings
from streamsr.node.cameras_file import CamerasFile
from streamsr.node.edits import Edits, KeptEdits

__all__ = ["open_edits", "state_folder"]


def open_edits(
    settings: NodeSettings, path: Path | None, overrides: Iterable[str] | None, emit: Emit
) -> Edits | None:
    """Returns what keeps the edits of a node whose file is at ``path``; None where they are
    forgotten with the process.

    ``overrides``: what the command line lays over a node's file; None where it is none. Raises
    ConfigError.
    """
    serve = settings.serve
    if path is None or overrides is None or serve is None or serve.edits == "forget":
        return None
    if serve.edits == "file":
        try:
            return CamerasFile(path, overrides)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"serve.edits: {path} cannot be read: {error}") from None
    folder = serve.state_folder or state_folder()
    if folder is None:
        why = "no folder to keep what is changed in: no serve.state_folder, STATE_DIRECTORY or home"
        emit(Event(Code.EDITS_LOST, "", why, doing="it is kept until the node ends"))
        return None
    of_this_file = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape"))
    return KeptEdits(folder / f"{settings.name}-{of_this_file.hexdigest()[:8]}.json", emit)


def state_folder() -> Path | None:
    """systemd's folder of this service, or the user's (XDG Base Directory Specification)."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(service):
        return Path(service)
    bases = os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser("~/.local/state")
    base = next((base for base in bases if os.path.isabs(base)), None)
    return Path(base) / "streamsr" if base is not None else None
