"""From an address as people write it to a source."""

from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from streamsr.core.errors import InputError
from streamsr.core.events import Emit
from streamsr.core.redact import protect, redact
from streamsr.media.demo import DemoSource
from streamsr.media.files import FileSource, FolderSource
from streamsr.media.live import LIVE_SCHEMES, LiveSource
from streamsr.media.source import Source

__all__ = ["DEMO", "open_source"]

DEMO = "demo"
FILE_SCHEMES = frozenset({"http", "https"})  # live where the settings say so


def open_source(
    url: str,
    emit: Emit,
    *,
    transport: str = "tcp",
    rate: Fraction = Fraction(25),
    live: bool | None = None,
    give_up_s: float | None = None,
) -> Source:
    """Make the source that ``url`` names; see ``streamsr.core.settings.InputSettings``.

    Raises InputError where there is no such file, or streamsr does not speak the scheme.
    """
    if url == DEMO:
        return DemoSource()
    protect(url)
    scheme = _scheme_of(url)
    if scheme and scheme not in LIVE_SCHEMES | FILE_SCHEMES:
        allowed = ", ".join(sorted(LIVE_SCHEMES | FILE_SCHEMES))
        raise InputError(
            f"input {redact(url)}: got the scheme {scheme!r}, allowed are {allowed}, "
            f"a file, a folder of PNG frames, or {DEMO!r}"
        )
    if scheme in LIVE_SCHEMES or (scheme and live):
        return LiveSource(url, emit, transport=transport, give_up_s=give_up_s)
    if scheme:
        return FileSource(url, emit)
    if _is_folder(url):
        return FolderSource(Path(url), rate)
    return FileSource(url, emit)


def _scheme_of(url: str) -> str:
    """The scheme in lower case, "" of a path. Raises InputError."""
    try:
        return urlsplit(url).scheme.lower() if "://" in url else ""
    except ValueError:  # its own message quotes the password
        raise InputError(
            f"input {redact(url)}: it is no address: allowed is SCHEME://HOST:PORT/PATH, user name "
            "and password percent-encoded"
        ) from None


def _is_folder(name: str) -> bool:
    """Whether it is a folder and not a file. Raises InputError where there is neither."""
    path = Path(name)
    try:
        if path.exists():
            return path.is_dir()
    except (OSError, ValueError) as error:  # a name too long, a folder one may not look into
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {redact(name)}: cannot be opened: {reason}") from None
    raise InputError(f"input {redact(name)}: there is no such file or folder")
