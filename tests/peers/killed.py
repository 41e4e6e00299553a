"""A process that is killed when it says that it has written."""

import subprocess
import sys

__all__ = ["killed_once_written"]


def killed_once_written(script: str) -> None:
    """Runs Python's ``script``, which prints "written", and kills it then."""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"written\n"
        finally:
            child.kill()
