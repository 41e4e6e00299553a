"""What of outputs is done, and by what.

Of a folder of them that is one line a file, in ``.streamsr.jsonl``. It is locked while a run lasts:
two runs would give several sources one name. Beside one output that has a name of its own nothing
is left: what is said of it goes with its half-done folder, and then with the output itself, in an
extended attribute. Where there are none (FAT, SMB, many an NFS; Python has them on Linux alone), or
they hold less, it is a hidden file beside the output.
"""

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Protocol

from streamsr.core.errors import OutputError
from streamsr.core.files import write_whole
from streamsr.files.half_done import DONE, folder_of

__all__ = ["Kept", "OneRecord", "Record", "outputs_of", "said_of", "state_of"]

NAME = ".streamsr.jsonl"
LABEL = "user.streamsr"  # the attribute of an output that has no such record
NO_LABELS = OSError, AttributeError  # of a file system, of a Python


class Kept(Protocol):
    """What is known of outputs. Any thread may call it. Raises OutputError where it cannot be
    written."""

    remakes: bool  # what was made otherwise is made again; False: where it is asked for alone

    @property
    def is_half_done(self) -> bool:
        """Whether a kill left what one output was made of, once it was done."""

    def of(self, output: Path) -> dict[str, Any] | None:
        """What is known of an output: its ``source``, ``identity``, ``state`` and ``result``, and
        of what state it ``replaces`` an output."""

    def begin(self, source: Path, output: Path) -> None:
        """States which output a source has, before there is one."""

    def done(self, said: Mapping[str, Any], made: Path) -> None:
        """States that an output is done, by ``said_of``: to be called before what is ``made`` gets
        its name, so that a kill in between does not leave one that nobody knows, nor one that it
        ``replaces``."""


class Record(Kept, AbstractContextManager["Record"]):
    """The record of a folder, which is made where it is missing. Raises OutputError where another
    program works there, too."""

    remakes = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: dict[str, dict[str, Any]] = {}  # by output
        self._writing = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / NAME).open("a+b")
        except OSError as error:
            raise OutputError(f"output {folder}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise OutputError(
                f"output {folder}: another streamsr writes there, allowed is one at a time"
            ) from None
        except OSError:  # a file system without locks
            pass
        self._file.seek(0)
        self._lines = _parsed(self._file.read())

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    @property
    def outputs(self) -> dict[str, str]:
        """The output that each source has, by its absolute path."""
        return _outputs(self._lines)

    @property
    def is_half_done(self) -> bool:
        return False  # by the folder's own record it is done

    def of(self, output: Path) -> dict[str, Any] | None:
        return self._lines.get(str(output))

    def begin(self, source: Path, output: Path) -> None:
        if output.as_posix() not in self._lines:
            self._add({"source": str(source.absolute()), "output": str(output)})

    def done(self, said: Mapping[str, Any], made: Path) -> None:
        self._add(said)

    def _add(self, line: Mapping[str, Any]) -> None:
        try:
            with self._writing:
                self._lines[line["output"]] = json.loads(json.dumps(line))
                self._file.seek(0, os.SEEK_END)
                self._file.write(b"\n" + json.dumps(line).encode())  # after a line cut off
                self._file.flush()
                os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(
                f"output {self._folder}: cannot be written: {error.strerror}"
            ) from None


class OneRecord(Kept, AbstractContextManager["OneRecord"]):
    """The record of one output, which may be a folder that is filled as it is made: ``inside`` it
    is what is half done. An output that was renamed is known still."""

    remakes = False
    outputs: Mapping[str, str] = {}  # it has no folder of them

    def __init__(self, path: Path, *, inside: bool = False) -> None:
        self._output = path
        self._path = folder_of(path, inside=inside) / DONE
        self._beside = path.with_name(f".{path.name}.streamsr")

    def __exit__(self, *exception: object) -> None:
        pass

    @property
    def is_half_done(self) -> bool:
        return self._path.exists()

    def of(self, output: Path) -> dict[str, Any] | None:
        for read in (self._path.read_bytes, self._label, self._beside.read_bytes):
            with suppress(*NO_LABELS, ValueError, LookupError):
                said = json.loads(read())
                if isinstance(said, dict) and Path(said["output"]).suffix == output.suffix:
                    return said
        return None

    def begin(self, source: Path, output: Path) -> None:
        pass

    def done(self, said: Mapping[str, Any], made: Path) -> None:
        data = json.dumps(said).encode()
        try:
            write_whole(self._path, data)
            try:
                os.setxattr(made, LABEL, data)
            except NO_LABELS:
                write_whole(self._beside, data)
            else:
                self._beside.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"output {error.filename or self._path}: cannot be written: {error.strerror}"
            ) from None

    def _label(self) -> bytes:
        """What was said of it. Raises OSError."""
        return os.getxattr(self._output, LABEL)


def said_of(
    source: Path,
    output: Path,
    identity: Mapping[str, Any],
    state: Mapping[str, Any],
    result: Mapping[str, Any],
    replaces: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Returns what is known of an output that is done, as ``Kept.of`` has it."""
    said = {"source": str(source.absolute()), "output": str(output), "identity": identity}
    return {**said, "state": state, "result": result, "replaces": replaces}


def outputs_of(folder: Path) -> dict[str, str]:
    """Returns the output that each source has in a folder, by its absolute path, though another
    program may work there."""
    try:
        return _outputs(_parsed((folder / NAME).read_bytes()))
    except OSError:
        return {}


def _parsed(written: bytes) -> dict[str, dict[str, Any]]:
    """Returns the newest line of each output."""
    lines: dict[str, dict[str, Any]] = {}
    for line in written.split(b"\n"):
        try:
            said = json.loads(line)
            lines[said["output"]] = said
        except (ValueError, TypeError, LookupError):
            continue  # it was cut off by a kill
    return lines


def _outputs(lines: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {line["source"]: name for name, line in lines.items()}


def state_of(path: Path) -> dict[str, Any] | None:
    """Returns what tells whether an output is as it was written; None where there is none."""
    try:
        if path.is_dir():
            sizes = [one.stat().st_size for one in path.iterdir() if not one.name.startswith(".")]
            return {"images": len(sizes), "bytes": sum(sizes)}
        facts = path.stat()
    except OSError:
        return None
    return {"bytes": facts.st_size, "modified": facts.st_mtime_ns}
