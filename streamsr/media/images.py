"""Folders of PNG frames: read in the order of their numbers, written whole or not at all."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import ColorRange, Interpolation

from streamsr.errors import InputError, OutputError
from streamsr.frame import ColourTags, Frame
from streamsr.media.pixels import from_av, to_av

__all__ = ["ImageWriter", "image_frames", "image_names", "read_image"]

_PRECISE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def image_names(folder: Path) -> list[str]:
    """The PNG files of a folder, 2 before 10. Raises InputError where there is none."""
    if not folder.is_dir():
        raise InputError(f"input {folder}: there is no such folder")
    names = [p.name for p in folder.iterdir() if p.suffix.lower() == ".png" and p.is_file()]
    if not names:
        raise InputError(f"input {folder}: there is no PNG file in this folder")
    return sorted(names, key=_natural)


def read_image(path: Path) -> Frame:
    """Read a PNG of any depth as 8-bit R'G'B'; transparency is left out. Raises InputError."""
    try:
        context = av.CodecContext.create("png", "r")
        pictures = [*context.decode(av.Packet(path.read_bytes())), *context.decode(None)]
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {path}: cannot be read as PNG: {reason}") from None
    if not pictures:
        raise InputError(f"input {path}: there is no picture in it")
    rgb = pictures[0].reformat(format="rgb24", interpolation=_PRECISE)
    return from_av(rgb, pts=0, time_base=Fraction(1))


def image_frames(folder: Path, rate: Fraction = Fraction(25)) -> Iterator[Frame]:
    """Every picture of a folder, its pts the number in order, ``rate`` a second.

    Raises InputError where one is damaged, or of another size than the first.
    """
    first: Frame | None = None
    for number, name in enumerate(image_names(folder)):
        frame = read_image(folder / name)
        first = first or frame
        if (frame.width, frame.height) != (first.width, first.height):
            raise InputError(
                f"input {folder / name}: it is {frame.width}x{frame.height}, but the frames "
                f"before it are {first.width}x{first.height}"
            )
        yield Frame(frame.planes, frame.colour, number, 1 / rate)


class ImageWriter:
    """Writes frames as R'G'B' PNG files, each appearing in the folder only once it is whole.

    Raises OutputError where the folder cannot be made or, unless ``overwrite``, holds PNG files.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = any(p.suffix.lower() == ".png" for p in folder.iterdir())
            probe = folder / ".streamsr"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"output {folder}: cannot be written: {error.strerror}") from None
        if taken and not overwrite:
            raise OutputError(
                f"output {folder}: there are PNG files in it already; --overwrite adds to them"
            )
        self._context: av.VideoCodecContext | None = None

    def write(self, frame: Frame, name: str) -> None:
        """Write a frame as ``name``. Raises OutputError."""
        picture = _rgb(frame)
        picture.pts = None
        data = b"".join(bytes(packet) for packet in self._encoder(frame).encode(picture))
        target = self.folder / name
        partial = target.with_suffix(".partial")
        try:
            partial.write_bytes(data)
            partial.replace(target)
        except OSError as error:
            raise OutputError(f"output {target}: cannot be written: {error.strerror}") from None

    def _encoder(self, frame: Frame) -> av.VideoCodecContext:
        context = self._context
        if context is None or (context.width, context.height) != (frame.width, frame.height):
            context = av.CodecContext.create("png", "w")
            context.width, context.height = frame.width, frame.height
            context.pix_fmt = "rgb24"
            context.time_base = Fraction(1, 25)
            context.thread_count = 1
            context.options = {"compression_level": "1", "pred": "sub"}
            self._context = context
        return context


def _rgb(frame: Frame) -> av.VideoFrame:
    picture = to_av(frame)
    if frame.is_rgb:
        return picture
    known = frame.colour.matrix in (1, 4, 5, 6, 7, 9)
    return picture.reformat(
        format="rgb24",
        src_colorspace=frame.colour.matrix if known else ColourTags.BT601_625,
        src_color_range=ColorRange.JPEG if frame.colour.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_PRECISE,
    )


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key in which numbers count as numbers."""
    parts = re.split(r"(\d+)", name.lower())
    return tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts if p)
