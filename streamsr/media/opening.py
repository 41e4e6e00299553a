"""From an address as people write it to a source."""

from fractions import Fraction
from pathlib import Path

from streamsr.core.events import Emit
from streamsr.media.addresses import InputKind, input_kind
from streamsr.media.demo import DemoSource
from streamsr.media.files import FileSource, FolderSource
from streamsr.media.live import LiveSource
from streamsr.media.source import Source

__all__ = ["open_source"]


def open_source(
    url: str,
    emit: Emit,
    *,
    transport: str = "tcp",
    rate: Fraction = Fraction(25),
    live: bool | None = None,
    give_up_s: float | None = None,
) -> Source:
    """Returns the source that ``url`` names; see ``streamsr.core.settings.InputSettings``.

    Raises InputError where there is no such file, or streamsr does not speak the scheme.
    """
    match input_kind(url, live):
        case InputKind.DEMO:
            return DemoSource()
        case InputKind.LIVE:
            return LiveSource(url, emit, transport=transport, give_up_s=give_up_s)
        case InputKind.FOLDER:
            return FolderSource(Path(url), rate)
        case InputKind.FILE:
            return FileSource(url, emit)
