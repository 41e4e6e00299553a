"""Clips whose every frame carries its number, and the reader of that number.

The number is a band of large black and white cells along the top: 16 bits and an 8-bit CRC.
Each bit is a cell and its complement below it, so that reading compares the two and needs neither
levels nor range; cells scale with the frame, so that an upscaled frame reads the same way.
"""

from collections.abc import Container, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import OutputContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags

__all__ = ["BAND", "camera_clip", "draw_number", "number_in", "read_number", "scene"]

Luma = NDArray[np.uint8]

BAND = Fraction(1, 6)  # how much of the height the number takes, from the top
COLUMNS = 24  # 16 bits and 8 of CRC, the highest first
CONTRAST = 64  # levels between a cell and its complement, of at most 255
AUDIO_HZ = 48_000


def camera_clip(
    path: Path,
    *,
    width: int = 320,
    height: int = 180,
    rate: Fraction | int = 25,
    seconds: float = 4.0,
    first: int = 0,
    audio: bool = True,
    gop: int = 25,
    b_frames: int = 0,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    colour: ColourTags | None = None,
    aspect: Fraction | None = None,
    slices: int = 1,
    crf: int = 20,
    missing: Container[int] = (),
) -> Path:
    """Write a clip of ``seconds * rate`` numbered frames, with a tone in AAC beside it.

    ``colour`` tags the stream, its ``full_range`` sets the levels too; ``aspect`` is that of a
    sample. Frames whose number is in ``missing`` are left out, which makes the rate variable.
    """
    colour = colour or ColourTags()
    count = round(seconds * rate)
    with av.open(path, "w") as out:
        video = out.add_stream(codec, rate=Fraction(rate))
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.time_base = video.codec_context.time_base = 1 / Fraction(rate)
        video.gop_size, video.max_b_frames, video.codec_context.thread_count = gop, b_frames, 1
        video.color_range = 2 if colour.full_range else 1
        video.colorspace, video.color_primaries = colour.matrix, colour.primaries
        video.color_trc = colour.transfer
        if aspect is not None:
            video.sample_aspect_ratio = aspect
        video.options = _encoder_options(codec, gop, b_frames, slices, crf)
        audio = out.add_stream("aac", rate=AUDIO_HZ) if audio else None
        if audio is not None:
            audio.layout = "mono"

        for number, planes in enumerate(scene(width, height, count, first, colour.full_range)):
            if first + number in missing:
                continue
            frame = _video_frame(planes, pix_fmt, colour)
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            _write_tone(out, audio, float(count / Fraction(rate)))
    return path


def scene(
    width: int, height: int, count: int, first: int = 0, full_range: bool = False
) -> Iterator[tuple[Luma, Luma, Luma]]:
    """Give ``count`` numbered frames of a texture that pans by 2 pixels a frame, in 4:2:0."""
    low, high = (0, 255) if full_range else (16, 235)
    random = np.random.default_rng(20)
    texture = np.zeros((height, width))
    for octave in (2, 4, 8, 16, 32):
        coarse = random.random((-(-height // octave), -(-width // octave)))
        texture += octave**0.5 * np.kron(coarse, np.ones((octave, octave)))[:height, :width]
    row, column = np.mgrid[:height, :width]
    texture[(row + column) % 40 < 3] = texture.max()  # thin diagonals: detail to sharpen
    texture -= texture.min()
    luma = (low + texture * ((high - low) / texture.max())).astype(np.uint8)
    row, column = np.mgrid[: -(-height // 2), : -(-width // 2)]
    blue = (128 + 60 * np.sin(2 * np.pi * column / column.shape[1])).astype(np.uint8)
    red = (128 + 60 * np.cos(2 * np.pi * row / row.shape[0])).astype(np.uint8)
    for number in range(first, first + count):
        frame = np.roll(luma, 2 * number, axis=1)
        draw_number(frame, number, low, high)
        yield frame, np.roll(blue, number, axis=1), np.roll(red, number, axis=0)


def draw_number(luma: Luma, number: int, low: int = 16, high: int = 235) -> None:
    """Draw a number's low 16 bits into the top sixth of the (h, w) frame."""
    word = (number & 0xFFFF) << 8 | _crc8(number & 0xFFFF)
    edges, middle, bottom = _cells(luma)
    for column, bit in enumerate(format(word, f"0{COLUMNS}b")):
        cell = slice(edges[column], edges[column + 1])
        luma[:middle, cell] = high if bit == "1" else low
        luma[middle:bottom, cell] = low if bit == "1" else high


def read_number(luma: Luma) -> int | None:
    """Read the number of an (h, w) frame; None if there is none, or it is too damaged to trust.

    Any size does, and any range of levels; cut off letterbox bars first.
    """
    edges, middle, bottom = _cells(luma)
    word = 0
    for column in range(COLUMNS):
        margin = (edges[column + 1] - edges[column]) // 4
        cell = slice(edges[column] + margin, edges[column + 1] - margin)
        inset = middle // 4
        upper = luma[inset : middle - inset, cell].mean()
        lower = luma[middle + inset : bottom - inset, cell].mean()
        if abs(upper - lower) < CONTRAST:
            return None
        word = word << 1 | int(upper > lower)
    number, crc = word >> 8, word & 0xFF
    return number if crc == _crc8(number) else None


def number_in(frame: VideoFrame) -> int | None:
    """Read the number of a decoded frame, whatever its pixel format."""
    if frame.format.name not in ("gray", "nv12", "yuv420p", "yuvj420p"):
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return read_number(rows[: frame.height, : frame.width])


def _cells(luma: Luma) -> tuple[list[int], int, int]:
    """The columns' edges, and the rows' lower edges."""
    height, width = luma.shape
    edges = [round(column * width / COLUMNS) for column in range(COLUMNS + 1)]
    return edges, round(height * BAND / 2), round(height * BAND)


def _crc8(number: int) -> int:
    register = number << 8 ^ 0xA50000  # or a dark stripe over a bright one would read as 0
    for bit in range(23, 7, -1):
        if register >> bit & 1:
            register ^= 0x107 << (bit - 8)
    return register & 0xFF


def _video_frame(planes: tuple[Luma, Luma, Luma], pix_fmt: str, colour: ColourTags) -> VideoFrame:
    frame = VideoFrame(planes[0].shape[1], planes[0].shape[0], "yuv420p")
    for plane, pixels in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        rows[:, : plane.width] = pixels
    frame.color_range, frame.colorspace = 2 if colour.full_range else 1, colour.matrix
    if pix_fmt == "yuv420p":
        return frame
    levels = 2 if colour.full_range else 1
    return frame.reformat(format=pix_fmt, src_color_range=levels, dst_color_range=levels)


def _encoder_options(codec: str, gop: int, b_frames: int, slices: int, crf: int) -> dict[str, str]:
    if codec == "libx264":
        params = f"keyint={gop}:min-keyint={gop}:scenecut=0:sliced-threads=0:slices={slices}"
        return {"preset": "veryfast", "crf": str(crf), "x264-params": params}
    if codec == "libx265":
        params = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:open-gop=0"
        params += ":pools=none:frame-threads=1:log-level=none"
        return {"preset": "ultrafast", "crf": str(crf), "x265-params": params}
    return {}


def _write_tone(out: OutputContainer, audio: av.AudioStream, seconds: float) -> None:
    for start in range(0, round(seconds * AUDIO_HZ), 1024):
        time = np.arange(start, start + 1024) / AUDIO_HZ
        wave = (0.2 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
        frame = AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = AUDIO_HZ, start
        frame.time_base = Fraction(1, AUDIO_HZ)
        out.mux(audio.encode(frame))
    out.mux(audio.encode(None))
