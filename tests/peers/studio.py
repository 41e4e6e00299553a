"""A live stream that costs next to nothing: encoded once, then sent in real time, or faster.

Every frame carries its number, and the audio beeps in step with each whole second of frames:
a beep begins with every frame whose number is a multiple of ``FPS``. The clip goes round without
a seam in time; numbers begin at 0 again.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Self

import av
import numpy as np

from streamsr.core.packet import Packet, Track
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.ipc.messages import StreamFormat

from .clip import number_in, scene

__all__ = ["FPS", "ROUND", "Seen", "Studio", "coded_frames", "packets", "seen"]

FPS = 25
ROUND = 500  # frames: 20 s
CLOCK = Fraction(1, 90_000)
HZ = 48_000
BEEP_S = 0.08


class Studio:
    """Sends its stream to ``broadcaster`` until left.

    ``audio``, ``size`` and ``speed`` (1.0 is real time) may change meanwhile.
    ``lag_s`` is the longest that the event loop kept a task waiting beyond its time.
    """

    def __init__(self, *, audio: bool = True, size: tuple[int, int] = (320, 180)) -> None:
        self.broadcaster = Broadcaster(self._ask)
        self.asked = 0  # how often a keyframe was asked for; it comes when it comes
        self.size = size
        self.speed = 1.0
        self.sent = 0  # frames
        self.lag_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self.audio = audio

    @property
    def audio(self) -> bool:
        return self._audio

    @audio.setter
    def audio(self, audio: bool) -> None:
        self._audio = audio
        self.broadcaster.format = StreamFormat("cam", Fraction(FPS), *self.size, audio)

    async def __aenter__(self) -> Self:
        coded_frames(*self.size)
        audios()
        self._task = asyncio.create_task(self._run(), name="studio")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.broadcaster.close()

    def _ask(self, tracks: frozenset[Track]) -> None:
        self.asked += 1

    async def _run(self) -> None:
        due_s = time.monotonic()
        for packet in packets(lambda: self.size):
            if packet.track == Track.AAC:
                if self.audio:
                    self.broadcaster.publish(packet)
                continue
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.lag_s = max(self.lag_s, time.monotonic() - due_s)
            self.broadcaster.publish(packet)
            self.broadcaster.publish(replace(packet, track=Track.RECORD))
            self.sent += 1
            due_s += 1 / (FPS * self.speed)


def packets(size: Callable[[], tuple[int, int]] = lambda: (320, 180)) -> Iterator[Packet]:
    """The stream without an end: each frame, then the audio up to its time.

    The ``size`` is asked for once a second.
    """
    heard = 0
    clip = coded_frames(*size())
    for number in itertools.count():
        if number % FPS == 0:
            clip = coded_frames(*size())
        data, keyframe = clip[number % ROUND]
        yield Packet(Track.OUTPUT, data, number * 3600, CLOCK, keyframe)
        while heard * 1024 / HZ <= number / FPS:
            tone = audios()[heard % len(audios())]
            yield Packet(Track.AAC, tone, heard * 1024, Fraction(1, HZ), True)
            heard += 1


@dataclass
class Seen:
    """What a player finds in a file or at an address."""

    numbers: list[int | None] = field(default_factory=list)  # of the frames
    times: list[float] = field(default_factory=list)  # seconds; of the frames
    beeps: list[float] = field(default_factory=list)  # when one begins
    sizes: set[tuple[int, int]] = field(default_factory=set)
    samples: int = 0  # of audio

    @property
    def unbroken(self) -> bool:
        """Whether there are frames, and none is missing between the first and the last."""
        return bool(self.numbers) and all(
            a is not None and b == (a + 1) % ROUND for a, b in pairwise(self.numbers)
        )

    def offset_s(self, after_s: float = -1.0) -> float:
        """How far audio and frame are apart at worst, over the beeps after a time."""
        shown = zip(self.numbers, self.times, strict=True)
        marks = [t for n, t in shown if n is not None and n % FPS == 0]
        last = max(self.times, default=0.0) - 0.2  # audio of later ones may lie behind the end
        return max(
            (min((abs(beep - mark) for beep in self.beeps), default=99.0))
            for mark in marks
            if after_s < mark <= last
        )


def seen(source: str | Path, frames: int | None = None) -> Seen:
    """Play ``source`` to its end, or so many ``frames`` of it."""
    found = Seen()
    quiet_since = -1.0
    with av.open(str(source), timeout=(5, 5)) as container:
        for frame in container.decode():
            assert frame.time is not None
            if isinstance(frame, av.VideoFrame):
                found.numbers.append(number_in(frame))
                found.times.append(frame.time)
                found.sizes.add((frame.width, frame.height))
                if len(found.numbers) == frames:
                    break
                continue
            assert isinstance(frame, av.AudioFrame)
            found.samples += frame.samples
            for index in np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2):
                moment = frame.time + index / frame.sample_rate
                if moment - quiet_since > 0.5:
                    found.beeps.append(moment)
                quiet_since = moment
    return found


@cache
def coded_frames(width: int, height: int) -> list[tuple[bytes, bool]]:
    """A round of access units, and whether each is a keyframe: one a second."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = CLOCK, Fraction(FPS)
    codec.gop_size, codec.thread_count = FPS, 1
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", "crf": "24"}
    units = []
    for number, planes in enumerate(scene(width, height, ROUND)):
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane, pixels in zip(frame.planes, planes, strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            rows[:, : pixels.shape[1]] = pixels
        frame.pts, frame.time_base = number * 3600, CLOCK
        (packet,) = codec.encode(frame)
        units.append((bytes(packet), bool(packet.is_keyframe)))
    return units


@cache
def audios() -> list[bytes]:
    """Packets of AAC of 8 s, which is a whole number of them: the clip joins itself."""
    codec = av.CodecContext.create("aac", "w")
    codec.sample_rate, codec.layout, codec.format = HZ, "stereo", "fltp"
    codec.flags |= av.codec.context.Flags.global_header
    count = 8 * HZ // 1024
    coded = []
    for number in range(2 * count + 1):  # the second time round the encoder is in its stride
        times = np.arange(number * 1024, (number + 1) * 1024) / HZ
        wave = 0.6 * np.sin(2 * np.pi * 1000 * times) * (times % 1 < BEEP_S)
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]).astype(np.float32), "fltp", "stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = HZ, number * 1024, Fraction(1, HZ)
        coded += [bytes(packet) for packet in codec.encode(frame)]
    # The first packet out is the encoder's priming: it lies before the first sample.
    return coded[count + 1 : 2 * count + 1]
