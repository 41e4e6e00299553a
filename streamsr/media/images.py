"""Folders of PNG frames: read in the order of their numbers, written whole or not at all.

Frames in and out are R'G'B' in 8 bits. FFmpeg codes the PNG; the conversions on either side are
done here, because FFmpeg's cuts 16 bits off instead of rounding them, and takes every chroma for
sited between its luma columns, which moves that of most video by a quarter of a pixel.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import re
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from streamsr.errors import InputError, OutputError
from streamsr.frame import ColourTags, Frame, Plane
from streamsr.media.pixels import planes_of

__all__ = ["ImageWriter", "image_frames", "image_names", "read_image", "rgb_of"]

SRGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LAYOUTS = {  # of FFmpeg's PNG decoder: sample type, samples a pixel
    "gray": ("u1", 1),
    "ya8": ("u1", 2),
    "rgb24": ("u1", 3),
    "rgba": ("u1", 4),
    "gray16be": (">u2", 1),
    "ya16be": (">u2", 2),
    "rgb48be": (">u2", 3),
    "rgba64be": (">u2", 4),
}
_ADAM7 = (  # first column and row, steps
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def image_names(folder: Path) -> list[str]:
    """The PNG files of a folder, frame2 before frame10; hidden ones are left out.

    Raises InputError where there is none, or no folder.
    """
    try:
        found = [p.name for p in folder.iterdir() if _is_png(p)]
    except OSError as error:
        raise InputError(f"input {folder}: cannot be read as a folder: {error.strerror}") from None
    if not found:
        raise InputError(f"input {folder}: there is no PNG file in this folder")
    return sorted(found, key=_natural)


def image_frames(folder: Path, rate: Fraction = Fraction(25)) -> Iterator[Frame]:
    """Every picture of a folder, its pts the number in order, ``rate`` a second.

    Raises InputError where the folder has none (at once), and where a file is damaged or of
    another size than the first (when its turn comes).
    """
    return _frames(folder, image_names(folder), 1 / Fraction(rate))


def read_image(path: Path) -> Frame:
    """Read a PNG of any kind as 8-bit R'G'B'. Raises InputError.

    Grey becomes three equal channels, 16 bits are rounded to 8, and transparency is left out:
    the colours of transparent pixels are taken as the file states them.
    """
    try:
        data = path.read_bytes()
        _check_whole(data)
        decoder = av.CodecContext.create("png", "r")
        decoder.thread_count = 1  # frame threads would hold the picture back
        pictures = decoder.decode(av.Packet(data))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {path}: cannot be read as PNG: {reason}") from None
    if len(pictures) != 1:
        raise InputError(f"input {path}: cannot be read as PNG: there is no picture in it")
    return Frame((_packed(pictures[0]),), SRGB, 0, Fraction(1))


class ImageWriter:
    """Writes frames as R'G'B' PNG files, each appearing in the folder only once it is whole.

    The folder is made where it is missing. Raises OutputError where it cannot be written or,
    unless ``overwrite``, holds PNG files; those of other names are left alone either way.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = sum(_is_png(p) for p in folder.iterdir())
            probe = folder / ".streamsr.partial"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"output {folder}: cannot be written: {error.strerror}") from None
        if taken and not overwrite:
            raise OutputError(
                f"output {folder}: got a folder with {taken} PNG files in it, allowed is one "
                "without; --overwrite replaces those of the same names"
            )
        self._encoder: av.VideoCodecContext | None = None  # of the size of the last frame

    def write(self, frame: Frame, name: str) -> None:
        """Write a frame as ``name``, which replaces a file of that name. Raises OutputError."""
        target = self.folder / name
        if target.parent != self.folder or target.suffix.lower() != ".png":
            raise OutputError(f"output {target}: got the name {name!r}, allowed is one of a PNG")
        partial = self.folder / f".{name}.partial"
        try:
            partial.write_bytes(self._encoded(frame))
            partial.replace(target)
        except (av.FFmpegError, OSError) as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"output {target}: cannot be written: {error.strerror}") from None

    def _encoded(self, frame: Frame) -> bytes:
        picture = av.VideoFrame(frame.width, frame.height, "rgb24")
        rgb_of(frame, planes_of(picture)[0])
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (frame.width, frame.height):
            encoder = self._encoder = _png_encoder(frame.width, frame.height)
        return b"".join(bytes(packet) for packet in encoder.encode(picture))


def _png_encoder(width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "rgb24"
    encoder.time_base = Fraction(1, 25)  # asked for, never used
    encoder.thread_count = 1  # frame threads would hold pictures back
    encoder.options = {"compression_level": "1", "pred": "up"}
    return encoder


def rgb_of(frame: Frame, out: Plane) -> None:
    """Write a frame's R'G'B' into ``out``, (h, w, 3) uint8, by its matrix, range and siting.

    Within half a level of the exact conversion, chroma brought to luma's size by Keys' bicubic
    with mirrored borders. Works in strips that fit the cache.
    """
    if frame.is_rgb:
        out[...] = frame.planes[0]
        return
    tags = frame.colour
    black, luma_span, chroma_span = (0, 255, 255) if tags.full_range else (16, 219, 224)
    kr, kb = _KR_KB.get(tags.matrix, _KR_KB[6])
    luma_gain, chroma_gain = 255 / luma_span, 2 * 255 / chroma_span
    red, blue = (1 - kr) * chroma_gain, (1 - kb) * chroma_gain
    kg = 1 - kr - kb
    luma, *chroma = frame.planes
    padded = [np.pad(plane, 2, mode="symmetric") for plane in chroma]
    for top in range(0, frame.height, 2 * _STRIP):
        rows = slice(top, min(top + 2 * _STRIP, frame.height))
        grey = (luma[rows].astype(np.float32) - np.float32(black)) * np.float32(luma_gain)
        half = slice(top // 2, -(-rows.stop // 2) + 4)
        cb, cr = (_doubled(p[half], tags.chroma)[: len(grey), : frame.width] for p in padded)
        channels = (
            grey + cr * np.float32(red),
            grey - cr * np.float32(red * kr / kg) - cb * np.float32(blue * kb / kg),
            grey + cb * np.float32(blue),
        )
        for index, levels in enumerate(channels):
            np.clip(levels + np.float32(0.5), 0, 255, out=levels)
            out[rows, :, index] = levels


_STRIP = 16  # chroma rows at a time
_KR_KB = {  # the engine's table, in streamsr.engine.colour; neither imports the other
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_QUARTER = np.float32([-0.0703125, 0.8671875, 0.2265625, -0.0234375])
"""Keys' bicubic (a = -0.5) a quarter of a sample after the second of four."""
_HALF = np.float32([-0.0625, 0.5625, 0.5625, -0.0625])


def _doubled(chroma: Plane, siting: int) -> NDArray[np.float32]:
    """Chroma about zero at luma's size: (h + 4, w + 4) with two pixels round it to (2h, 2w)."""
    levels = chroma.astype(np.float32) - np.float32(128)
    height, width = levels.shape[0] - 4, levels.shape[1] - 4
    wide = np.empty((height + 4, 2 * width), np.float32)
    columns = [levels[:, k : k + width] for k in range(5)]
    if siting == ColourTags.CHROMA_LEFT:
        wide[:, 0::2] = columns[2]
        wide[:, 1::2] = _weighted(columns[1:], _HALF)
    else:
        wide[:, 0::2] = _weighted(columns[:4], _QUARTER[::-1])
        wide[:, 1::2] = _weighted(columns[1:], _QUARTER)
    rows = [wide[k : k + height] for k in range(5)]
    tall = np.empty((height, 2, 2 * width), np.float32)
    tall[:, 0] = _weighted(rows[:4], _QUARTER[::-1])
    tall[:, 1] = _weighted(rows[1:], _QUARTER)
    return tall.reshape(2 * height, 2 * width)


def _weighted(taps: list[NDArray[np.float32]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    total = taps[0] * weights[0]
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        total += tap * weight
    return total


def _packed(picture: av.VideoFrame) -> Plane:
    """(h, w, 3) uint8 of what FFmpeg's PNG decoder gives: a view, or a copy where it converts."""
    name = picture.format.name
    if name == "pal8":
        palette = np.frombuffer(memoryview(picture.planes[1]), "<u4")  # ARGB
        colours = np.stack([palette >> 16, palette >> 8, palette], axis=-1).astype(np.uint8)
        return np.take(colours, _samples(picture, "u1", 1)[..., 0], axis=0)
    if name == "monob":
        bits = np.unpackbits(_rows(picture), axis=1, count=picture.width)
        return np.repeat(bits[..., None] * np.uint8(255), 3, axis=2)
    if name not in _LAYOUTS:
        raise InputError(f"a PNG of FFmpeg's pixel format {name}")
    samples = _samples(picture, *_LAYOUTS[name])
    if samples.shape[2] < 3:
        samples = np.repeat(samples[..., :1], 3, axis=2)
    samples = samples[..., :3]
    if samples.dtype.itemsize == 2:
        samples = ((samples.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)
    return samples


def _samples(picture: av.VideoFrame, kind: str, count: int) -> NDArray[Any]:
    dtype = np.dtype(kind)
    rows = _rows(picture)[:, : picture.width * count * dtype.itemsize]
    return rows.view(dtype).reshape(picture.height, picture.width, count)


def _rows(picture: av.VideoFrame) -> Plane:
    plane = picture.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]


def _frames(folder: Path, names: list[str], time_base: Fraction) -> Iterator[Frame]:
    first: Frame | None = None
    for number, name in enumerate(names):
        frame = read_image(folder / name)
        first = first or frame
        if (frame.width, frame.height) != (first.width, first.height):
            raise InputError(
                f"input {folder / name}: got {frame.width}x{frame.height} pixels, allowed is "
                f"{first.width}x{first.height} as in {names[0]}, the first of this folder"
            )
        yield Frame(frame.planes, frame.colour, number, time_base)


def _is_png(path: Path) -> bool:
    hidden = path.name.startswith(".")  # as other systems' shadows of real files are
    return path.suffix.lower() == ".png" and not hidden and path.is_file()


def _natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """A sort key in which numbers count as numbers and case counts last."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.casefold())
    return [(text, int(digits or -1)) for text, digits in parts], name


def _check_whole(data: bytes) -> None:
    """Raise ValueError unless ``data`` is a whole PNG: FFmpeg would show half a one as well."""
    chunks = _chunks(data)
    header = chunks.get(b"IHDR", [b""])[0]
    if len(header) != 13:
        raise ValueError("it has no header")
    wanted = _pixel_bytes(*struct.unpack(">IIBBBBB", header))
    try:
        pixels = zlib.decompressobj().decompress(b"".join(chunks.get(b"IDAT", [])), wanted)
    except zlib.error as error:
        raise ValueError(f"its pixels are damaged: {error}") from None
    if len(pixels) < wanted:
        raise ValueError(f"its pixels break off: got {len(pixels)} of {wanted} bytes")


def _chunks(data: bytes) -> dict[bytes, list[bytes]]:
    """The bodies of a PNG's chunks by their names, their checksums checked (ISO/IEC 15948)."""
    if not data.startswith(_SIGNATURE):
        raise ValueError("it does not start as a PNG does")
    place, kind = len(_SIGNATURE), b""
    chunks: dict[bytes, list[bytes]] = {}
    while kind != b"IEND":
        if place + 12 > len(data):
            raise ValueError(f"it breaks off after {len(data)} bytes")
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            raise ValueError(f"it breaks off after {len(data)} bytes")
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError(f"its chunk {kind.decode('latin-1')!r} is damaged")
        chunks.setdefault(kind, []).append(data[place + 8 : end])
        place = end + 4
    return chunks


def _pixel_bytes(
    width: int, height: int, depth: int, kind: int, _coding: int, _filter: int, interlaced: int
) -> int:
    """How many bytes a PNG's pixels inflate to: every row of every pass, and its filter's byte."""
    bits = depth * {2: 3, 4: 2, 6: 4}.get(kind, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [
        (-(-(width - left) // step_x), -(-(height - top) // step_y))
        for left, top, step_x, step_y in passes
    ]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0)
