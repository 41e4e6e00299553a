"""What an input's address names, and whether an output can be written. Opens neither.

It imports no PyAV: settings are checked in the main process, before a worker is started.
"""

import errno
import os
import re
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

from streamsr.core.errors import InputError, OutputError, nearest
from streamsr.core.live_address import WHIP, live_address
from streamsr.core.redact import redact
from streamsr.plugins.registry import Kind, find, names

__all__ = [
    "CONTROL",
    "IMAGE_SUFFIXES",
    "OVERWRITE",
    "STDIO",
    "SUFFIXES",
    "InputKind",
    "check_folder",
    "check_name",
    "check_writable",
    "container_suffix",
    "ffmpeg_name",
    "folder_images",
    "folder_kind",
    "image_kind",
    "input_kind",
    "is_folder_output",
    "is_pipe_output",
    "is_session_description",
    "scheme_of",
]

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DEMO = "demo"
PUBLISHED = WHIP  # to [serve]; in a worker "whip+http://…", where it is read
STDIO = "-"  # stdin of an input, stdout of an output
OVERWRITE = "output.overwrite = true"  # as settings say it; a command and a call have their own way
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp"})
FILE_SCHEMES = frozenset({"http", "https"})  # live where the settings say so
SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".ts")
IMAGE_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WebP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


class InputKind(StrEnum):
    """What kind of source an address names."""

    DEMO = "demo"
    PUBLISHED = "whip"
    LIVE = "live"
    FILE = "file"
    FOLDER = "folder"
    PIPE = "pipe"  # stdin, or a named pipe
    PLUGIN = "plugin"  # a scheme of somebody else's code


def input_kind(url: str, live: bool | None = None) -> InputKind:
    """Returns what ``url`` names (see ``core.settings.InputSettings``).

    A file's name may look like anything else: "22:15:09.mp4", "concat:a". Raises InputError where
    there is no such file, or streamsr does not speak the scheme.
    """
    if url == DEMO:
        return InputKind.DEMO
    if url == PUBLISHED or url.startswith(f"{PUBLISHED}+http://127.0.0.1:"):
        return InputKind.PUBLISHED
    if url == STDIO:
        return InputKind.PIPE
    scheme = scheme_of(url)
    if scheme and scheme not in LIVE_SCHEMES | FILE_SCHEMES:
        if find(Kind.SOURCE, scheme) is not None:
            return InputKind.PLUGIN
        known = sorted({*LIVE_SCHEMES, *FILE_SCHEMES, *names(Kind.SOURCE)})
        raise InputError(
            f"input {redact(url)}: got the scheme {scheme!r}{nearest(scheme, known)}, allowed are "
            f"{', '.join(known)}, a file, a folder of images, {STDIO!r} (stdin), or {DEMO!r}"
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
    return url if scheme_of(url) else f"file:{url}"


def check_name(name: str) -> None:
    """Raises InputError for a name that no log and no terminal could show as it is."""
    if CONTROL.search(name):
        raise InputError(f"file {name!r}: got control characters in its name, allowed are others")


def is_session_description(url: str) -> bool:
    """Whether it is an .sdp file: it says where a stream of RTP arrives."""
    return not scheme_of(url) and url.lower().endswith(".sdp")


def is_folder_output(path: Path) -> bool:
    """Whether an output's path names a folder for images, and not a video."""
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
            f"{', '.join(SUFFIXES)}, {STDIO!r} (stdout), or a folder for images"
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


def check_folder(folder: Path, kind: str = "PNG", *, overwrite: bool = False) -> list[Path]:
    """Makes a folder for images of a kind where it is missing, and returns those that are in it.

    Raises OutputError where it cannot be written, or holds some without ``overwrite``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = [path for path in folder.iterdir() if image_kind(path) == kind]
        with NamedTemporaryFile(dir=folder, prefix=".streamsr-"):
            pass
    except OSError as error:
        raise OutputError(f"output {folder}: cannot be written: {error.strerror}") from None
    if old and not overwrite:
        raise OutputError(
            f"output {folder}: got a folder with {len(old)} {kind} files in it, allowed is one "
            f"without; {OVERWRITE} replaces them"
        )
    return old


def image_kind(path: Path) -> str | None:
    """Returns what kind of image a file is by its name, as in ``IMAGE_SUFFIXES``; None: of none.

    Hidden ones are other systems' copies of real files.
    """
    kind = IMAGE_SUFFIXES.get(path.suffix.lower())
    return kind if not path.name.startswith(".") and path.is_file() else None


def folder_images(folder: Path) -> list[str]:
    """Returns the names of a folder's images, frame2 before frame10.

    Raises InputError where there is none, no folder, or images of several kinds.
    """
    try:
        kinds = {path.name: kind for path in folder.iterdir() if (kind := image_kind(path))}
    except OSError as error:
        raise InputError(f"input {folder}: cannot be read as a folder: {error.strerror}") from None
    counts = Counter(kinds.values())
    if not counts:
        raise InputError(
            f"input {folder}: there is no PNG file in this folder, and none of JPEG, WebP or TIFF"
        )
    if len(counts) > 1:
        got = " and ".join(f"{count} {kind}" for kind, count in counts.most_common())
        raise InputError(f"input {folder}: got {got} files, allowed are images of one kind")
    return sorted(kinds, key=_natural)


def folder_kind(folder: Path) -> str:
    """Returns what kind of images a folder holds. Raises InputError as ``folder_images`` does."""
    return image_kind(folder / folder_images(folder)[0]) or "PNG"


def _check_pipe(path: Path) -> None:
    if str(path) == STDIO:
        if sys.stdout is None or os.isatty(1):  # None: it was closed, and 1 is something else now
            raise OutputError(
                "output -: stdout is closed or a terminal, allowed is a pipe or a file"
            )
    elif not os.access(path, os.W_OK):
        raise OutputError(f"output {path}: cannot be written: {os.strerror(errno.EACCES)}")


def _natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """Returns a sort key in which numbers count as numbers and case counts last."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.casefold())
    return [(text, int(digits or -1)) for text, digits in parts], name


def scheme_of(url: str) -> str:
    """Returns the scheme in lower case, "" of a path. Raises InputError."""
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
