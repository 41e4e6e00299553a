"""From the settings of an input, or a path, to its source."""

import threading
from collections.abc import Iterator
from pathlib import Path

from streamsr.core.errors import InputError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.settings import InputSettings
from streamsr.media.addresses import PUBLISHED, InputKind, input_kind, scheme_of
from streamsr.media.source import Item, MediaSource
from streamsr.sources.containers import is_multipart
from streamsr.sources.demo import DemoSource
from streamsr.sources.files import FileSource
from streamsr.sources.folder import FolderSource
from streamsr.sources.live import LiveSource
from streamsr.sources.live_opening import is_live_playlist
from streamsr.sources.plugin_source import plugin_source
from streamsr.sources.published import PublishedSource

__all__ = ["file_frames", "file_items", "open_source"]


def open_source(settings: InputSettings, emit: Emit, bits: int | None = 8) -> MediaSource:
    """Returns the source that ``settings`` name. Its frames have ``bits``: ``DepthConverter``.

    Raises InputError where there is no such file, or streamsr does not speak the scheme.
    """
    url = settings.url
    match input_kind(url, settings.live):
        case InputKind.DEMO:
            return DemoSource()
        case InputKind.PUBLISHED if url == PUBLISHED:
            raise InputError(
                f"input {PUBLISHED}: got no [serve] that takes it, allowed is it in a file of "
                "`streamsr run` or `node` with [serve]"
            )
        case InputKind.PUBLISHED:
            return PublishedSource(settings, emit)
        case InputKind.LIVE:
            return _live(settings, emit, bits)
        case InputKind.FOLDER:
            return FolderSource(
                Path(url), settings.exact_rate, settings.audio_from, emit=emit, deep=bits != 8
            )
        case InputKind.FILE if settings.live is None and (
            is_multipart(url) or is_live_playlist(url)
        ):
            return _live(settings, emit, bits)
        case InputKind.FILE:
            follow_s = settings.follow_s if settings.follow else None
            return _file(settings, emit, bits, follow_s)
        case InputKind.PLUGIN:
            return plugin_source(settings, emit, scheme_of(url))
        case InputKind.PIPE:
            return _file(settings, emit, bits)


def _live(settings: InputSettings, emit: Emit, bits: int | None) -> LiveSource:
    return LiveSource(
        settings.url,
        emit,
        transport=settings.transport,
        video=settings.video,
        audio=settings.audio,
        give_up_s=settings.give_up_s,
        deinterlace=settings.deinterlace,
        bits=bits,
    )


def _file(
    settings: InputSettings, emit: Emit, bits: int | None, follow_s: float | None = None
) -> FileSource:
    return FileSource(
        settings.url,
        emit,
        follow_s,
        max_gap_s=settings.max_gap_s,
        deinterlace=settings.deinterlace,
        bits=bits,
        video=settings.video,
        audio=settings.audio,
    )


def file_items(path: Path) -> Iterator[Item]:
    """Yields every item of a file, or of a folder of images.

    Raises InputError where it cannot be read, or is damaged.
    """

    def refuse(event: Event) -> None:
        if event.code is Code.SRC_DAMAGED:
            raise InputError(f"input {path}: {event.message}")

    source = FolderSource(path, emit=refuse) if path.is_dir() else FileSource(str(path), refuse)
    return source.items(threading.Event())


def file_frames(path: Path) -> Iterator[Frame]:
    """Yields every frame of a file, as ``file_items`` does."""
    return (item for item in file_items(path) if isinstance(item, Frame))
