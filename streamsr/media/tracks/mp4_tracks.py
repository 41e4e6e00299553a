"""What FFmpeg's MP4 muxer says of tracks and should not, put right in a file that is finished.

Written in fragments, a cover gets a track without samples beside its place in the tags; and of
each kind of track the first is enabled where none was to be, which a player takes for the default.
"""

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

__all__ = ["TrackFix", "fix_tracks"]

ENABLED = 1  # flag of a track's header (ISO/IEC 14496-12, 8.3.2)


class TrackFix(Enum):
    """What is done to a track."""

    NOTHING = auto()
    REMOVE = auto()
    DISABLE = auto()


def fix_tracks(path: Path, fixes: Sequence[TrackFix]) -> None:
    """Changes the tracks of a finished MP4 file, in their order; its size stays.

    Raises OSError.
    """
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        moov = [place for kind, *place in _boxes(file, 0, end) if kind == b"moov"]
        if not moov:
            return
        tracks = [box for box in _boxes(file, *moov[-1]) if box[0] == b"trak"]
        for fix, (_, begin, stop) in zip(fixes, tracks, strict=False):
            if fix is TrackFix.REMOVE:
                file.seek(begin - 4)
                file.write(b"free")
            elif fix is TrackFix.DISABLE:
                header = next(at for kind, at, _ in _boxes(file, begin, stop) if kind == b"tkhd")
                file.seek(header + 3)
                flags = file.read(1)[0]
                file.seek(header + 3)
                file.write(bytes([flags & ~ENABLED]))


def _boxes(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, begin and end of what is in each box between two offsets (4.2 there)."""
    while begin + 8 <= end:
        file.seek(begin)
        head = file.read(16)
        size, content = int.from_bytes(head[:4], "big"), begin + 8
        if size == 1:  # it is behind the kind, in 64 bits
            size, content = int.from_bytes(head[8:16], "big"), begin + 16
        size = size or end - begin
        if size < content - begin or begin + size > end:
            return
        yield head[4:8], content, begin + size
        begin += size
