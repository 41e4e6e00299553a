"""What FFmpeg's MP4 muxer says of tracks and should not, put right in a file that is finished.

Written in fragments, a cover gets a track without samples beside its place in the tags; and of
each kind of track the first is enabled where none was to be, which a player takes for the default.
A track of video ends for it with the frame that is decoded last, which may be shown before others.
"""

import io
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

__all__ = ["TrackFix", "cut_to_whole", "fix_tracks", "lengthen_track"]

ENABLED = 1  # flag of a track's header (ISO/IEC 14496-12, 8.3.2)


def cut_to_whole(path: Path) -> None:
    """Cuts off an MP4 file's last fragment where it was not written to its end.

    A decoder would take what is there for a damaged frame. Whole files stay as they are.
    """
    with path.open("r+b") as file:
        size = file.seek(0, io.SEEK_END)
        offset = whole = 0
        while offset < size:
            file.seek(offset)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # it is behind the kind, in 64 bits (ISO/IEC 14496-12, 4.2)
                length = int.from_bytes(head[8:16], "big")
            if len(head) < 8 or length < 8 or offset + length > size:
                if whole:  # else it is no MP4 file of ours
                    file.truncate(whole)
                return
            offset += length
            if head[4:8] in (b"moov", b"mdat"):
                whole = offset


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


def lengthen_track(path: Path, number: int, end_s: Fraction) -> None:
    """Makes a track of a finished MP4 file, counted from 0, be shown up to then at least.

    Its edit, its headers and the file's say so (ISO/IEC 14496-12, 8.6.6, 8.3.2, 8.4.2, 8.2.2).
    Raises OSError.
    """
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        moov = [place for kind, *place in _boxes(file, 0, end) if kind == b"moov"]
        if not moov:
            return
        tracks = [place for kind, *place in _boxes(file, *moov[-1]) if kind == b"trak"]
        movie = _within(file, moov[-1], b"mvhd")
        edits = _within(file, _within(file, tracks[number], b"edts"), b"elst")
        if not edits[1]:  # it lasts as long as its samples do
            return
        header, ticks = _within(file, tracks[number], b"tkhd"), _ticks(file, movie[0])
        more = round(end_s * ticks) - _add(file, header[0], (20, 28), 0)
        if more <= 0:
            return
        media = _within(file, _within(file, tracks[number], b"mdia"), b"mdhd")
        _add(file, media[0], (16, 24), round(Fraction(more, ticks) * _ticks(file, media[0])))
        file.seek(edits[0] + 4)
        last = int.from_bytes(file.read(4), "big") - 1
        _add(file, edits[0], (8 + 12 * last, 8 + 20 * last), more)
        shown = _add(file, header[0], (20, 28), more)
        whole = _add(file, movie[0], (16, 24), 0)
        _add(file, movie[0], (16, 24), max(0, shown - whole))


def _ticks(file: BinaryIO, header: int) -> int:
    """Returns the ticks a second of a header, of the file or of a track's media."""
    return _add(file, header, (12, 20), 0, 4)


def _add(
    file: BinaryIO, box: int, offsets: tuple[int, int], more: int, size: int | None = None
) -> int:
    """Adds to a number of a box, which is at another place and longer in version 1; returns it."""
    file.seek(box)
    version = file.read(1)[0]
    size, at = size or (8 if version else 4), box + offsets[min(version, 1)]
    file.seek(at)
    number = int.from_bytes(file.read(size), "big") + more
    file.seek(at)
    file.write(number.to_bytes(size, "big"))
    return number


def _within(file: BinaryIO, place: Sequence[int], kind: bytes) -> tuple[int, int]:
    """Returns where a box of that kind begins and ends; an empty place where there is none."""
    return next(((at, end) for name, at, end in _boxes(file, *place) if name == kind), (0, 0))


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
