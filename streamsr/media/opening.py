"""From the settings of an input to its source."""

from pathlib import Path

from streamsr.core.events import Emit
from streamsr.core.settings import InputSettings
from streamsr.media.addresses import InputKind, input_kind
from streamsr.media.demo import DemoSource
from streamsr.media.files import FileSource, FolderSource
from streamsr.media.live import LiveSource
from streamsr.media.source import Source

__all__ = ["open_source"]


def open_source(settings: InputSettings, emit: Emit) -> Source:
    """Returns the source that ``settings`` name.

    Raises InputError where there is no such file, or streamsr does not speak the scheme.
    """
    url = settings.url
    match input_kind(url, settings.live):
        case InputKind.DEMO:
            return DemoSource()
        case InputKind.LIVE:
            return LiveSource(url, emit, transport=settings.transport, give_up_s=settings.give_up_s)
        case InputKind.FOLDER:
            return FolderSource(Path(url), settings.exact_rate)
        case InputKind.FILE:
            return FileSource(url, emit)
