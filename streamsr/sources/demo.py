"""The built-in camera: a town that a camera pans along, with a counter, a clock and audio.

The town is a clip that ``tools/render_demo.py`` renders; it ends where it begins. Counter, clock
and audio are made here.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from time import monotonic

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.media.pixels import planes_of
from streamsr.media.source import AudioFrame, Item, MediaSource, SourceInfo
from streamsr.sources.timing.clock_sync import TICKS

__all__ = ["AUDIO_RATE", "CELL", "DIGITS", "LEFT", "PAD", "DemoSource", "Scene", "bitmap"]

AUDIO_RATE = 48_000  # samples a second
CLIP = Path(__file__).with_name("demo.mp4")
CLIP_RATE = 25
DIGITS = 8  # how many characters fit on a line
CELL = 7  # dots a character takes, either way, the gap to its right included
_FONT = """
    0 1e33333333331e 1 0c1c0c0c0c0c1e 2 1e3303060c183f 3 1e33030e03331e 4 060e1e363f0606
    5 3f303e0303331e 6 1e30303e33331e 7 3f03060c0c1818 8 1e33331e33331e 9 1e33331f03031e
    : 000c0c000c0c00 . 00000000000c0c
"""
"""Seven rows of six dots a character, each row two hexadecimal digits."""
_DOTS = _FONT.split()
_ROWS = dict(zip(_DOTS[::2], map(bytes.fromhex, _DOTS[1::2]), strict=True)) | {" ": bytes(7)}
# The counter's box, in dots: a dot is a pixel up to 359 lines, two from there on, and so on.
_LINES_A_DOT = 180
LEFT, PAD = 4, 3  # from the frame's corner to the box, from its edge to the characters
_BOX = np.full((2 * CELL + 2 + 2 * PAD, CELL * DIGITS + 10 + 2 * PAD), 16, np.uint8)
_LAMP = (slice(PAD, -PAD), slice(-PAD - 8, -PAD))


class Scene:
    """The scene at a size, both in pixels and at least 2, and a whole number of frames a second.

    Deterministic: a frame and its audio are functions of their number alone. At other sizes than
    320x180 the clip is resized. Not for several threads at once.
    """

    def __init__(self, width: int = 320, height: int = 180, rate: int = CLIP_RATE) -> None:
        self.width, self.height, self.rate = width, height, rate
        self._clip = _Clip()
        self._audio = _tune()

    def frame(self, number: int) -> tuple[Plane, Plane, Plane]:
        """Returns (Y, Cb, Cr) of 4:2:0 in 8 bits: BT.709 of limited range, chroma sited left."""
        luma, *chroma = self._clip.planes(number * CLIP_RATE // self.rate)
        half = (-(-self.width // 2), -(-self.height // 2))
        y = _resized(luma, (self.width, self.height), 235)
        u, v = (_resized(plane, half, 240) for plane in chroma)
        _burn_in((y, u, v), self._lines(number), max(1 - number % self.rate / self.rate * 6, 0.1))
        return y, u, v

    def audio(self, number: int) -> NDArray[np.int16]:
        """Returns the samples of a frame's time, mono: as many as lie in it."""
        start, end = (n * AUDIO_RATE // self.rate for n in (number, number + 1))
        return self._audio[np.arange(start, end) % len(self._audio)]

    def _lines(self, number: int) -> tuple[str, str]:
        """The counter, and the clock of the scene's time."""
        seconds, hundredths = divmod(number * 100 // self.rate, 100)
        clock = f"{seconds // 60 % 100:02}:{seconds % 60:02}.{hundredths:02}"
        return f"{number % 10**DIGITS:06}", clock


class DemoSource(MediaSource):
    """Delivers frame ``n`` of the scene ``n / rate`` seconds after it was opened."""

    live = True
    name = "demo"

    def __init__(self, scene: Scene | None = None) -> None:
        self._scene = scene  # None: opened once it is wanted

    def items(self, stop: threading.Event) -> Iterator[Item]:
        scene = self._scene or Scene()
        rate = Fraction(scene.rate)
        size = scene.width, scene.height
        yield SourceInfo(*size, rate, Fraction(1), "rawvideo", "yuv420p", audio_codec="pcm_s16le")
        start = monotonic()
        for number in count():
            time_s = float(number / rate)
            if stop.wait(max(0.0, start + time_s - monotonic())):
                return
            yield Frame(
                planes=scene.frame(number),
                colour=ColourTags(1, 1, 1),
                pts=round(time_s / TICKS),
                time_base=TICKS,
                arrived=monotonic(),
                discontinuous=number == 0,
            )
            samples = av.AudioFrame.from_ndarray(scene.audio(number)[None], "s16", "mono")
            samples.sample_rate = AUDIO_RATE
            yield AudioFrame(time_s, "pcm_s16le", samples=samples)


class _Clip:
    """The clip, decoded frame after frame and over again. Another order costs a search."""

    def __init__(self) -> None:
        decoder = av.CodecContext.create("h264", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        with av.open(CLIP) as container:
            video = container.streams.video[0]
            self._packets = [packet for packet in container.demux(video) if packet.size]
            decoder.extradata = video.codec_context.extradata
        decoder.thread_count = 1
        self._decoder = decoder
        self._frames = self._decoded(0)
        self._number = -1  # of the newest frame, counted in the clip
        self._newest: av.VideoFrame | None = None

    def planes(self, number: int) -> tuple[Plane, ...]:
        """Returns views of a frame's planes, to read only."""
        number %= len(self._packets)
        if self._newest is None or number != self._number:
            if number != (self._number + 1) % len(self._packets):
                keyframe = next(n for n in range(number, -1, -1) if self._packets[n].is_keyframe)
                self._frames = islice(self._decoded(keyframe), number - keyframe, None)
            self._newest, self._number = next(self._frames), number
        return planes_of(self._newest)

    def _decoded(self, first: int) -> Iterator[av.VideoFrame]:
        """Yields the frames from a keyframe on, without end."""
        self._decoder.flush_buffers()
        for number in count(first):
            yield from self._decoder.decode(self._packets[number % len(self._packets)])


def _resized(plane: Plane, size: tuple[int, int], highest: int) -> Plane:
    """A plane of limited range at ``size``, width and height; always a copy."""
    height, width = plane.shape
    method = cv2.INTER_AREA if size[0] < width or size[1] < height else cv2.INTER_CUBIC
    resized = plane if size == (width, height) else cv2.resize(plane, size, interpolation=method)
    return np.clip(resized, 16, highest).astype(np.uint8, copy=False)


def _tune() -> NDArray[np.int16]:
    """Sixteen seconds that repeat: plucked notes over slow chords, and a tick each second."""
    seconds = 16
    length = seconds * AUDIO_RATE
    audio = np.zeros(length, np.float32)
    time_s = np.arange(3 * AUDIO_RATE, dtype=np.float32) / AUDIO_RATE
    envelope = 0.09 * np.minimum(time_s / 0.03, 1) * np.exp(-1.6 * time_s) * (1 - time_s / 3)
    for beat in range(2 * seconds):
        root, third = ((0, 3), (-4, 4), (-9, 4), (-2, 4))[beat // 8]
        step = (0, 7, 12, 12 + third, 19, 12 + third, 12, 7)[beat % 8]
        angle = time_s * np.float32(2 * np.pi * 220 * 2 ** ((root + step) / 12))
        note = envelope * (np.sin(angle) + np.float32(0.3) * np.sin(2 * angle))
        place = beat * AUDIO_RATE // 2
        first = min(len(note), length - place)
        audio[place : place + first] += note[:first]
        audio[: len(note) - first] += note[first:]
    click_s = time_s[: AUDIO_RATE // 100]
    click = 0.5 * np.cos(2 * np.pi * 2000 * click_s) * np.exp(-400 * click_s)
    audio.reshape(seconds, AUDIO_RATE)[:, : len(click)] += click
    return np.rint(audio * 32767).astype(np.int16)


def bitmap(text: str) -> NDArray[np.bool_]:
    """Returns the dots of a line of text, (7, 7 * len(text)); each seventh column is empty."""
    rows = np.frombuffer(b"".join(_ROWS[c] for c in text), np.uint8).reshape(-1, CELL).T
    bits = rows[..., None] << 1 >> np.arange(CELL - 1, -1, -1, dtype=np.uint8) & 1
    return bits.reshape(CELL, -1).astype(bool)


def _burn_in(planes: tuple[Plane, Plane, Plane], lines: tuple[str, str], glow: float) -> None:
    """Writes two lines of up to DIGITS characters on black, and a lamp ``glow`` (0..1) bright.

    ``planes`` are those of 4:2:0; what has no room is cut off.
    """
    dot = max(planes[0].shape[0] // _LINES_A_DOT, 1)
    box = _BOX.copy()
    for row, line in zip((PAD, PAD + CELL + 2), lines, strict=True):
        box[row : row + CELL, PAD : PAD + CELL * DIGITS][bitmap(line.ljust(DIGITS))] = 235
    box[_LAMP] = round(16 + 219 * glow)
    box = box.repeat(dot, 0).repeat(dot, 1)
    for plane, size in zip(planes, (1, 2, 2), strict=True):
        rows, columns = (slice(LEFT * dot // size, (LEFT * dot + n) // size) for n in box.shape)
        target = plane[rows, columns]
        target[...] = box[: target.shape[0], : target.shape[1]] if size == 1 else 128
