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

from streamsr.core.clock_sync import TICKS
from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.media.counter import DIGITS, burn_in
from streamsr.media.pixels import planes_of
from streamsr.media.source import AudioFrame, Item, Source, SourceInfo

__all__ = ["AUDIO_RATE", "DemoSource", "Scene"]

AUDIO_RATE = 48_000
"""Samples a second."""
CLIP = Path(__file__).with_name("demo.mp4")
CLIP_RATE = 25


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
        burn_in((y, u, v), self._lines(number), max(1 - number % self.rate / self.rate * 6, 0.1))
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


class DemoSource(Source):
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
