"""A file's upscaled packets and what else its source carries, joined into the file it becomes.

Nothing is encoded again but audio that the container cannot hold as it is.
"""

import math
import threading
from collections.abc import Iterator
from pathlib import Path

from streamsr.core.packet import Packet
from streamsr.files.part import Stopped
from streamsr.files.partial import Partial
from streamsr.media.muxing import FileWriter
from streamsr.media.source import Piece, Reached, SourceInfo
from streamsr.media.tracks.piece_queue import PieceQueue
from streamsr.pipeline.channel import ByTime
from streamsr.sources.files import FileSource
from streamsr.sources.folder import FolderSource

__all__ = ["join_parts"]

BEHIND_S = 2.0  # that what belongs to a frame may come after it in a file


def join_parts(
    partial: Partial,
    source: FileSource | FolderSource,
    path: Path,
    suffix: str,
    codec: str,
    stop: threading.Event,
) -> list[str]:
    """Writes the file at ``path``, a container of ``suffix``; returns what it could not keep.

    Raises InputError, OutputError, and Stopped once ``stop`` is set.
    """
    assert partial.end is not None  # every frame is done
    until_s = math.inf if partial.end.until_s is None else partial.end.until_s
    writer = FileWriter(path, suffix=suffix)
    try:
        joining = _Joining(writer, partial, codec)
        for item in source.carried(stop):
            if isinstance(item, SourceInfo):
                joining.info = item
            elif isinstance(item, Reached):
                if item.time_s > until_s + BEHIND_S:
                    break
                joining.write_to(min(item.time_s, until_s))
            elif item.time_s < until_s:
                joining.take(item)
        if not stop.is_set():
            joining.write_to(math.inf)
            joining.release(until_s)
    finally:
        writer.close()
    if stop.is_set():
        raise Stopped
    return list(writer.not_kept)


class _Joining:
    """Packets and pieces on their way into one file, in the order of time."""

    def __init__(self, writer: FileWriter, partial: Partial, codec: str) -> None:
        self.info: SourceInfo | None = None
        opening = partial.opening
        assert opening is not None  # it was begun
        self._writer = writer
        self._size = opening.width, opening.height
        self._packets: Iterator[Packet] = partial.packets(codec)
        self._next = next(self._packets, None)
        self._pieces = PieceQueue()
        self._left = ByTime[Piece](self._pieces)
        self._newest_s = 0.0  # of the frames that are written

    def take(self, piece: Piece) -> None:
        """Keeps a piece until the frames of its time are written."""
        self._pieces.send(piece)

    def write_to(self, time_s: float) -> None:
        """Writes what is due up to then."""
        assert self.info is not None  # a source describes itself before it says how far it is
        while (packet := self._next) is not None:
            shown_s = float(packet.pts * packet.time_base)
            if shown_s > time_s:
                return
            self._writer.video(packet, self.info, self._size)
            self._newest_s = max(self._newest_s, shown_s)
            self.release(self._newest_s)
            self._next = next(self._packets, None)

    def release(self, until_s: float) -> None:
        """Writes the pieces up to then."""
        for piece in self._left.due(until_s):
            self._writer.other(piece)
