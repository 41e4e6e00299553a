"""A live stream without a pipeline: a drawn scene, encoded in real time into a broadcaster.

Input and audio run ahead of the output, as they do where upscaling takes its time.
"""

import asyncio
import threading
import time
from collections import deque
from fractions import Fraction
from typing import Self

import av
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray
from peers import draw_number, scene

from streamsr.core.errors import StreamsrError
from streamsr.core.packet import Packet, Track
from streamsr.core.status import StreamState, StreamStatus
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.media.images import jpeg_of
from streamsr.media.pixels import from_av
from streamsr.serve.served import Served

__all__ = ["INPUT_SIZE", "OUTPUT_SIZE", "Broadcast"]

OUTPUT_SIZE = 640, 360
INPUT_SIZE = 160, 90
FPS = 25
CLOCK = 90_000
SAMPLES = 960  # 20 ms of audio
FRAMES = 65_536  # as many as have a number of their own: 43 minutes

Luma = NDArray[np.uint8]
Planes = tuple[Luma, Luma, Luma]


class VideoEncoder:
    """H.264 for live use: no B-frames, SPS and PPS at each keyframe, keyframes on demand."""

    def __init__(self, track: str, width: int, height: int) -> None:
        self._track = track
        self._codec = av.CodecContext.create("libx264", "w")
        self._codec.width, self._codec.height = width, height
        self._codec.pix_fmt = "yuv420p"
        self._codec.time_base = Fraction(1, CLOCK)
        self._codec.framerate = Fraction(FPS)
        self._codec.gop_size = 10 * FPS  # long, so that a test can tell a request from the rhythm
        self._codec.thread_count = 1
        self._codec.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "crf": "24",
        }

    def encode(
        self, planes: Planes, pts: int, keyframe: bool, arrived: float = 0.0, captured: float = 0.0
    ) -> Packet:
        upscaled = time.monotonic()
        frame = frame_of(planes)
        frame.pts, frame.time_base = pts, Fraction(1, CLOCK)
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        (packet,) = self._codec.encode(frame)
        return Packet(
            *(self._track, bytes(packet), pts, Fraction(1, CLOCK), bool(packet.is_keyframe)),
            arrived=arrived or upscaled,
            upscaled=upscaled,
            encoded=time.monotonic(),
            captured=captured,
        )


class AudioEncoder:
    """A quiet tone in Opus."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate, self._codec.layout, self._codec.format = 48000, "stereo", "s16"
        self._codec.time_base = Fraction(1, 48000)
        self._samples = 0

    def until(self, time_s: float) -> list[Packet]:
        packets = []
        while self._samples < time_s * 48000:
            t = np.arange(self._samples, self._samples + SAMPLES) / 48000
            tone = (3000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], "s16", "stereo")
            frame.sample_rate, frame.pts = 48000, self._samples
            frame.time_base = Fraction(1, 48000)
            self._samples += SAMPLES
            packets += [
                Packet(Track.OPUS, bytes(p), p.pts + SAMPLES, Fraction(1, 48000), keyframe=True)
                for p in self._codec.encode(frame)
            ]
        return packets


class Broadcast:
    """Encodes the scene on a thread of its own until left; input and audio run ahead of output."""

    def __init__(
        self,
        *,
        audio: bool = True,
        with_input: bool = True,
        delay: int = 3,
        on_way_s: float | None = None,
    ) -> None:
        """``on_way_s``: frames carry the clock, in milliseconds, instead of a number, and take so
        long from their camera."""
        self.broadcaster = Broadcaster(self._requested)
        self.requests = 0  # for a keyframe
        self.encoded = 0  # frames of the output
        self.keyframes = 0  # of the output
        self.state = StreamState.LIVE
        self.message = ""
        self.wanted = "edvr-s-x4"
        self.fps = FPS - 1 / 3
        self._newest: Planes | None = None  # of the output
        self._audio = audio
        self._with_input = with_input
        self._delay = delay  # frames that upscaling takes
        self._on_way_s = on_way_s
        self._wanted = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broadcast")

    @property
    def served(self) -> Served:
        return Served(self.broadcaster, self.status)

    def status(self) -> StreamStatus:
        return StreamStatus(
            name="camera",
            state=self.state,
            model="edvr-s-x4",
            device="cpu",
            input="{}x{}".format(*INPUT_SIZE),
            output="{}x{}".format(*OUTPUT_SIZE),
            frames_in=self.encoded + self._delay,
            frames_out=self.encoded,
            fps=self.fps,
            latency_p50_ms=41.23456,
            latency_p99_ms=58.9,
            aspect=16 / 9,
            wanted=self.wanted,
            message=self.message,
        )

    async def snapshot(self) -> bytes:
        """The newest frame of the output as JPEG, as a worker would make it."""
        if self._newest is None:
            raise StreamsrError("there is no frame yet")
        return jpeg_of(from_av(frame_of(self._newest), pts=0, time_base=Fraction(1, CLOCK)))

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self._thread.start()
        await self._begun.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join)
        self.broadcaster.close()

    def _requested(self, tracks: frozenset[Track]) -> None:
        self.requests += 1
        self._wanted.set()

    def _publish(self, packets: list[Packet]) -> None:
        for packet in packets:
            self.broadcaster.publish(packet)
        if self.encoded:
            self._begun.set()

    def _run(self) -> None:
        small, large = (
            VideoEncoder(Track.INPUT, *INPUT_SIZE),
            VideoEncoder(Track.OUTPUT, *OUTPUT_SIZE),
        )
        audio = AudioEncoder()
        upscaling: deque[tuple[int, Planes, float, float]] = deque()
        begun_s = time.monotonic()
        for number, planes in enumerate(scene(*OUTPUT_SIZE, FRAMES)):
            if self._stop.wait(max(0.0, begun_s + number / FPS - time.monotonic())):
                return
            arrived, captured = time.monotonic(), 0.0
            if self._on_way_s is not None:
                captured = round(time.time(), 3)
                draw_number(planes[0], round(captured * 1000))
                arrived += self._on_way_s
            keyframe = self._wanted.is_set()
            self._wanted.clear()
            pts = number * CLOCK // FPS
            packets = audio.until(number / FPS) if self._audio else []
            if self._with_input:
                packets.append(small.encode(tuple(map(reduce, planes)), pts, keyframe))
            upscaling.append((pts, planes, arrived, captured))
            if len(upscaling) > self._delay:
                late_pts, late_planes, *times = upscaling.popleft()
                packets.append(large.encode(late_planes, late_pts, keyframe, *times))
                self._newest = late_planes
                self.encoded += 1
                self.keyframes += packets[-1].keyframe
            self._loop.call_soon_threadsafe(self._publish, packets)


def frame_of(planes: Planes) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, pixels in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        lines[:, : pixels.shape[1]] = pixels
    return frame


def reduce(plane: Luma) -> Luma:
    """Average blocks of 4x4."""
    height, width = plane.shape
    return plane.reshape(height // 4, 4, width // 4, 4).mean(axis=(1, 3)).astype(np.uint8)
