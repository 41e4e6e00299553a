"""What recordings take on a disk and of a CPU, by what their camera sees.

    python benchmarks/recordings.py [WIDTHxHEIGHT...]

Each scene is coded as `[record]` is by itself and, beside it, as viewers get it: kbit/s, GB a day
with the audio, CPU milliseconds a frame, luma PSNR.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import log10
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Track
from streamsr.core.settings import EncoderSettings, RecordSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.encoder_options import RECORDED_BUFFER, Buffer, for_recordings
from streamsr.media.pixels import planes_of
from streamsr.sources.demo import Scene
from streamsr.sources.timing.clock_sync import TICKS

FRAMES, RATE = 250, 25
AUDIO_KBIT_S = 96
Planes = tuple[NDArray[np.uint8], ...]


def moving(width: int, height: int) -> Iterator[Planes]:
    """The built-in camera's scene, enlarged: all of it moves."""
    scene = Scene()
    for number in range(FRAMES):
        yield enlarged(scene.frame(number), width, height)


def still(width: int, height: int, noise: float, light: float) -> Iterator[Planes]:
    """One frame of it with noise, in levels, and something that moves through it."""
    random = np.random.default_rng(1)
    luma, *chroma = enlarged(Scene().frame(0), width, height)
    dimmed = 16 + (luma.astype(np.float32) - 16) * light
    side = height // 8
    for number in range(FRAMES):
        shown = dimmed.copy()
        left = number * 2 % (width - side)
        shown[height // 2 : height // 2 + side, left : left + side] = 180
        shown += random.normal(0, noise, shown.shape).astype(np.float32)
        yield shown.clip(16, 235).astype(np.uint8), *chroma


def enlarged(planes: Planes, width: int, height: int) -> Planes:
    sizes = ((width, height), (width // 2, height // 2), (width // 2, height // 2))
    return tuple(
        cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        for plane, size in zip(planes, sizes, strict=True)
    )


def measured(frames: Iterator[Planes], settings: EncoderSettings, buffer: Buffer) -> list[float]:
    """kbit/s, CPU milliseconds a frame, and dB."""
    encoder: VideoEncoder | None = None
    decoder = av.CodecContext.create("h264", "r")
    size, spent_s, errors = 0, 0.0, []
    for number, planes in enumerate(frames):
        frame = Frame(planes, ColourTags(1, 1, 1), round(number / RATE / TICKS), TICKS)
        encoder = encoder or VideoEncoder(settings, frame, Fraction(RATE), Fraction(1), buffer)
        start = time.thread_time()
        coded = encoder.encode(frame)
        spent_s += time.thread_time() - start
        for packet in encoder.packets(Track.RECORD, coded, 0.0):
            size += len(packet.data)
            for image in decoder.decode(av.Packet(packet.data)):
                shown = planes_of(image)[0].astype(np.float32)
                errors.append(float(np.mean((shown - planes[0]) ** 2)))
    error = max(float(np.mean(errors)), 1e-3)
    return [size * 8 * RATE / FRAMES / 1e3, spent_s * 1e3 / FRAMES, 10 * log10(255**2 / error)]


def main() -> None:
    scenes: dict[str, Callable[[int, int], Iterator[Planes]]] = {
        "quiet, by day": lambda *size: still(*size, noise=1.5, light=1.0),
        "quiet, by night": lambda *size: still(*size, noise=8.0, light=0.4),
        "all moves": moving,
    }
    columns = ("scene", "size", "as", "kbit/s", "GB a day", "CPU ms a frame", "dB")
    rows: list[Sequence[str]] = [columns, ["---"] * len(columns)]
    for size in sys.argv[1:] or ["1280x720"]:
        width, height = map(int, size.split("x"))
        recording = for_recordings(RecordSettings(folder=Path("recordings")), width, height)
        ways = {
            "`[record]`": (recording, RECORDED_BUFFER),
            "viewers get it": (EncoderSettings(), Buffer()),
        }
        for (scene, frames), (way, coding) in (
            (s, w) for s in scenes.items() for w in ways.items()
        ):
            kbit_s, cpu_ms, db = measured(frames(width, height), *coding)
            day_gb = (kbit_s + AUDIO_KBIT_S) * 86_400 / 8e6
            figures = (f"{kbit_s:.0f}", f"{day_gb:.1f}", f"{cpu_ms:.1f}", f"{db:.1f}")
            rows.append((scene, size, way, *figures))
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))


if __name__ == "__main__":
    main()
