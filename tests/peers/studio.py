"""A live stream that costs next to nothing: encoded once, then sent into a hub in real time.

Every picture carries its number, and the sound beeps in step with each whole second of pictures:
a beep begins with every picture whose number is a multiple of ``FPS``. The clip goes round without
a seam in time; numbers begin at 0 again.
"""

import asyncio
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Self

import av
import numpy as np

from streamsr.hub import Hub
from streamsr.packet import AAC, OUTPUT, Packet
from streamsr.status import StreamStatus

from .clip import scene

__all__ = ["FPS", "ROUND", "Studio"]

FPS = 25
ROUND = 500  # pictures: 20 s
CLOCK = Fraction(1, 90_000)
HZ = 48_000
BEEP_S = 0.08


class Studio:
    """Sends its stream to ``hub`` until left; ``sound`` and ``size`` may be changed on the way.

    ``lag_s`` is the longest that the event loop kept a task waiting beyond its time.
    """

    def __init__(self, *, sound: bool = True, size: tuple[int, int] = (320, 180)) -> None:
        self.hub = Hub(lambda: None)
        self.sound = sound
        self.size = size
        self.sent = 0  # pictures
        self.lag_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def status(self) -> StreamStatus:
        return StreamStatus("cam", "live", "fast", "cpu", "", "", rate=FPS, sound=self.sound)

    async def __aenter__(self) -> Self:
        pictures(*self.size)
        sounds()
        self._task = asyncio.create_task(self._run(), name="studio")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.hub.close()

    async def _run(self) -> None:
        began_s = time.monotonic()
        heard = 0
        for number, packet in self._video():
            due_s = began_s + number / FPS
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.lag_s = max(self.lag_s, time.monotonic() - due_s)
            self.hub.publish(packet)
            self.sent = number + 1
            while heard * 1024 / HZ <= number / FPS:  # after the picture it belongs to
                if self.sound:
                    self.hub.publish(self._heard(heard))
                heard += 1

    def _video(self) -> Iterator[tuple[int, Packet]]:
        number = 0
        while True:
            size = self.size  # changes at a round's or a second's beginning
            clip = pictures(*size)
            for _ in range(FPS):
                data, keyframe = clip[number % ROUND]
                yield number, Packet(OUTPUT, data, number * 3600, CLOCK, keyframe)
                number += 1

    def _heard(self, number: int) -> Packet:
        clip = sounds()
        return Packet(AAC, clip[number % len(clip)], number * 1024, Fraction(1, HZ), True)


@cache
def pictures(width: int, height: int) -> list[tuple[bytes, bool]]:
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
def sounds() -> list[bytes]:
    """Packets of AAC of 8 s, which is a whole number of them: the clip joins itself."""
    codec = av.CodecContext.create("aac", "w")
    codec.sample_rate, codec.layout, codec.format = HZ, "stereo", "fltp"
    codec.flags |= av.codec.context.Flags.global_header
    count = 8 * HZ // 1024
    packets = []
    for number in range(2 * count + 1):  # the second time round the encoder is in its stride
        times = np.arange(number * 1024, (number + 1) * 1024) / HZ
        wave = 0.6 * np.sin(2 * np.pi * 1000 * times) * (times % 1 < BEEP_S)
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]).astype(np.float32), "fltp", "stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = HZ, number * 1024, Fraction(1, HZ)
        packets += [bytes(packet) for packet in codec.encode(frame)]
    # The first packet out is the encoder's priming: it lies before the first sample.
    return packets[count + 1 : 2 * count + 1]
