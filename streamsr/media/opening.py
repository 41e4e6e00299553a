"""From an address as people write it to a source."""

from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from streamsr.errors import InputError
from streamsr.events import Emit
from streamsr.media.demo import DemoSource
from streamsr.media.files import FileSource, FolderSource
from streamsr.media.live import LIVE_SCHEMES, LiveSource
from streamsr.media.source import Source
from streamsr.redact import protect, redact

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
    """Make the source that ``url`` names; see ``streamsr.settings.InputSettings``.

    Raises InputError where there is no such file, or streamsr does not speak the scheme.
    """
    if url == DEMO:
        return DemoSource()
    protect(url)
    scheme = urlsplit(url).scheme.lower() if "://" in url else ""
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
    path = Path(url)
    if path.is_dir():
        return FolderSource(path, rate)
    if not path.exists():
        raise InputError(f"input {url}: there is no such file or folder")
    return FileSource(url, emit)
