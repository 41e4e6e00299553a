"""What an input's address names, and whether an output can be written. Opens neither.

It imports no PyAV: settings are checked in the main process, before a worker is started.
"""

import errno
import os
import sys
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

from streamsr.core.errors import InputError, OutputError
from streamsr.core.live_address import live_address
from streamsr.core.redact import protect, redact

__all__ = [
    "STDIO",
    "SUFFIXES",
    "InputKind",
    "check_folder",
    "check_writable",
    "container_suffix",
    "ffmpeg_name",
    "input_kind",
    "is_folder_output",
    "is_pipe_output",
    "is_png",
    "is_session_description",
]

DEMO = "demo"
STDIO = "-"  # stdin of an input, stdout of an output
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp"})
FILE_SCHEMES = frozenset({"http", "https"})  # live where the settings say so
SUFFIXES = (".mp4", ".mkv")


class InputKind(StrEnum):
    """What kind of source an address names."""

    DEMO = "demo"
    LIVE = "live"
    FILE = "file"
    FOLDER = "folder"
    PIPE = "pipe"  # stdin, or a named pipe


def input_kind(url: str, live: bool | None = None) -> InputKind:
    """Returns what ``url`` names (see ``core.settings.InputSettings``), its secrets protected.

    A file's name may look like anything else: "22:15:09.mp4", "concat:a". Raises InputError where
    there is no such file, or streamsr does not speak the scheme.
    """
    if url == DEMO:
        return InputKind.DEMO
    if url == STDIO:
        return InputKind.PIPE
    protect(url)
    scheme = _scheme_of(url)
    if scheme and scheme not in LIVE_SCHEMES | FILE_SCHEMES:
        allowed = ", ".join(sorted(LIVE_SCHEMES | FILE_SCHEMES))
        raise InputError(
            f"input {redact(url)}: got the scheme {scheme!r}, allowed are {allowed}, "
            f"a file, a folder of PNG frames, {STDIO!r} (stdin), or {DEMO!r}"
        )
    if not scheme:
        return _kind_of(url)
    if scheme not in LIVE_SCHEMES and not live:
        return InputKind.FILE
    live_address(url)
    return InputKind.LIVE


def ffmpeg_name(url: str) -> str:
    """Returns what FFmpeg calls an input or output: it takes what is before a colon for a protocol.

    An address stays as it is. Raises InputError.
    """
    return url if _scheme_of(url) else f"file:{url}"


def is_session_description(url: str) -> bool:
    """Whether it is an .sdp file: it says where a stream of RTP arrives."""
    return not _scheme_of(url) and url.lower().endswith(".sdp")


def is_folder_output(path: Path) -> bool:
    """Whether an output's path names a folder for PNG frames, and not a video."""
    return path.is_dir() or not (path.suffix or is_pipe_output(path))


def is_pipe_output(path: Path) -> bool:
    """Whether it is stdout, or a named pipe: what is written goes to another program."""
    return str(path) == STDIO or (path.exists() and not path.is_file() and not path.is_dir())


def container_suffix(path: Path) -> str:
    """Returns the ending of the container that is written at ``path``: Matroska into pipes."""
    return ".mkv" if is_pipe_output(path) else path.suffix.lower()


def check_writable(path: Path) -> None:
    """Raises OutputError where no video can be written at ``path``; what is there is kept."""
    if is_pipe_output(path):
        _check_pipe(path)
        return
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"output {path}: got {path.suffix or 'no ending'!r}, allowed are "
            f"{', '.join(SUFFIXES)}, {STDIO!r} (stdout), or a folder for PNG frames"
        )
    try:
        if path.is_dir():
            raise OutputError(f"output {path}: there is a folder of that name")
        if not path.parent.is_dir():
            raise OutputError(f"output {path}: the folder {path.parent} does not exist")
        probe = path if path.exists() else path.with_name(f".{path.name}.partial")
        probe.open("ab").close()
        if probe != path:
            probe.unlink()
    except OSError as error:
        raise OutputError(f"output {path}: cannot be written: {error.strerror}") from None


def check_folder(folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Makes a folder for PNG frames where it is missing, and returns the PNG files in it.

    Raises OutputError where it cannot be written, or holds some without ``overwrite``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = [path for path in folder.iterdir() if is_png(path)]
        with NamedTemporaryFile(dir=folder, prefix=".streamsr-"):
            pass
    except OSError as error:
        raise OutputError(f"output {folder}: cannot be written: {error.strerror}") from None
    if old and not overwrite:
        raise OutputError(
            f"output {folder}: got a folder with {len(old)} PNG files in it, allowed is one "
            "without; --overwrite replaces them"
        )
    return old


def is_png(path: Path) -> bool:
    """Whether it is a PNG file by its name; hidden ones are other systems' copies of real files."""
    return path.suffix.lower() == ".png" and not path.name.startswith(".") and path.is_file()


def _check_pipe(path: Path) -> None:
    if str(path) == STDIO:
        if sys.stdout is None or os.isatty(1):  # None: it was closed, and 1 is something else now
            raise OutputError(
                "output -: stdout is closed or a terminal, allowed is a pipe or a file"
            )
    elif not os.access(path, os.W_OK):
        raise OutputError(f"output {path}: cannot be written: {os.strerror(errno.EACCES)}")


def _scheme_of(url: str) -> str:
    """The scheme in lower case, "" of a path. Raises InputError."""
    try:
        return urlsplit(url).scheme.lower() if "://" in url else ""
    except ValueError:  # its own message quotes the password
        raise InputError(
            f"input {redact(url)}: it is no address: allowed is SCHEME://HOST:PORT/PATH, user name "
            "and password percent-encoded"
        ) from None


def _kind_of(name: str) -> InputKind:
    """What there is of that name. Raises InputError where there is nothing."""
    path = Path(name)
    try:
        if path.is_dir():
            return InputKind.FOLDER
        if path.is_file():
            return InputKind.LIVE if is_session_description(name) else InputKind.FILE
        if path.exists():
            return InputKind.PIPE
    except (OSError, ValueError) as error:  # a name too long, a folder one may not look into
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {redact(name)}: cannot be opened: {reason}") from None
    raise InputError(f"input {redact(name)}: there is no such file or folder")
