"""PNG of any kind to 8-bit R'G'B' and back; FFmpeg codes, and what it lets pass is checked here."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import struct
import zlib
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Frame, Plane
from streamsr.media.pixels import planes_of
from streamsr.media.rgb import write_rgb

__all__ = ["PngEncoder", "decode_png"]

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
_MAX_BYTES = 1 << 30  # 16,384 x 16,384 pixels of R'G'B' and more
_ADAM7 = (  # first column and row, steps
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def decode_png(data: bytes) -> Plane:
    """Decode a PNG file of any kind to (h, w, 3) uint8 R'G'B'.

    Grey becomes three equal channels, 16 bits are rounded to 8, and transparency is left out:
    transparent pixels keep the colours that the file states. Raises ValueError where ``data`` is
    not one whole PNG.
    """
    _check_whole(data)
    decoder = av.CodecContext.create("png", "r")
    decoder.thread_count = 1  # frame threads would hold the picture back
    try:
        pictures = decoder.decode(av.Packet(data))
    except av.FFmpegError as error:
        raise ValueError(error.strerror) from None
    if len(pictures) != 1:
        raise ValueError("there is no picture in it")
    return _packed(pictures[0])


class PngEncoder:
    """Encodes frames as lossless R'G'B' PNG files, each in one go, made for speed over size."""

    def __init__(self) -> None:
        self._context: av.VideoCodecContext | None = None  # of the size of the last frame

    def encode(self, frame: Frame) -> bytes:
        """Give the bytes of the file. Raises av.FFmpegError."""
        picture = av.VideoFrame(frame.width, frame.height, "rgb24")
        write_rgb(frame, planes_of(picture)[0])
        context = self._context
        if context is None or (context.width, context.height) != (frame.width, frame.height):
            context = self._context = _encoder(frame.width, frame.height)
        return b"".join(bytes(packet) for packet in context.encode(picture))


def _encoder(width: int, height: int) -> av.VideoCodecContext:
    context = av.CodecContext.create("png", "w")
    context.width, context.height = width, height
    context.pix_fmt = "rgb24"
    context.time_base = Fraction(1, 25)  # asked for, never used
    context.thread_count = 1  # frame threads would hold pictures back
    context.options = {"compression_level": "1", "pred": "up"}
    return context


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
        raise ValueError(f"its pixel format {name} is not known here")
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


def _check_whole(data: bytes) -> None:
    """Raise ValueError unless ``data`` is a whole PNG: FFmpeg would show half a one as well."""
    chunks = _chunks(data)
    header = chunks.get(b"IHDR", [b""])[0]
    if len(header) != 13:
        raise ValueError("it has no header")
    wanted = _pixel_bytes(*struct.unpack(">IIBBBBB", header))
    if not 0 < wanted <= _MAX_BYTES:  # 0 would be "no limit" to zlib
        raise ValueError(f"got {wanted} bytes of pixels, allowed are 1 to {_MAX_BYTES}")
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
