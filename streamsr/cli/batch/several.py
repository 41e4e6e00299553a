"""Whether a command line means one file, or files that go into a folder one after the other."""

import os
from collections.abc import Sequence
from pathlib import Path

from streamsr.core.errors import InputError, OutputError
from streamsr.core.redact import redact
from streamsr.files.plan import holds_videos
from streamsr.files.record import outputs_of
from streamsr.media.addresses import (
    STDIO,
    is_folder_output,
    is_pipe_output,
    is_session_description,
)

__all__ = ["are_several", "is_batch"]


def are_several(inputs: Sequence[str]) -> bool:
    """Whether it is several files, or a folder of videos."""
    first = Path(inputs[0])
    return len(inputs) > 1 or (first.is_dir() and holds_videos(first))


def is_batch(inputs: Sequence[str], output: str, *, has_container: bool = False) -> bool:
    """Whether files go into a folder: several, or a folder of videos; or one video into what is
    called ``NAME/``, or has results of other runs in it, or where a container is named for them.

    Raises UserError where the output is none for that.
    """
    several = len(inputs) > 1
    if not are_several(inputs):
        path = Path(output)
        is_folder = "://" not in output and not is_pipe_output(path) and is_folder_output(path)
        is_meant = has_container or output.endswith("/") or bool(outputs_of(path))
        return is_folder and is_meant and _is_video(inputs[0])
    what = f"{len(inputs)} inputs" if several else f"the folder of videos {inputs[0]}"
    path = Path(output)
    if "://" in output or is_pipe_output(path) or not is_folder_output(path):
        raise OutputError(f"output {redact(output)}: got {what}, allowed is a folder for them")
    for given in inputs if several else ():
        if "://" in given or given == STDIO:
            raise InputError(
                f"input {redact(given)}: got {what}, allowed among several are files and folders"
            )
    return True


def _is_video(given: str) -> bool:
    return os.path.isfile(given) and not is_session_description(given)
