"""The two streams of one camera, as files: coded apart, at other rates, one a crop of the other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.sources.demo import CLIP

__all__ = ["Crop", "demo_frames", "two_streams", "write_stream", "yard_frames"]

Luma = NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """What the sub-stream shows, in pixels of the main stream's frame."""

    left: int
    top: int
    width: int
    height: int


def demo_frames(count: int, first: int = 0) -> Iterator[Luma]:
    """The demo's clip, 320x180: a camera that pans."""
    with av.open(CLIP) as container:
        for frame in islice(container.decode(video=0), first, first + count):
            yield frame.to_ndarray()[:180]


def yard_frames(
    count: int, seed: int = 0, things: int | None = None, size: tuple[int, int] = (320, 180)
) -> Iterator[Luma]:
    """A camera that hangs still before the demo's first frame; some things move through."""
    random = np.random.default_rng(seed if things is None else things)
    still = next(iter(demo_frames(1, 130 * seed)))
    width, height = size
    still = cv2.resize(still, size, interpolation=cv2.INTER_CUBIC)
    moving = [
        (
            random.uniform(0, width),
            random.uniform(0.2, 0.8) * height,
            *random.uniform(-2.5, 2.5, 2),
            int(random.integers(height // 14, height // 6)),
        )
        for _ in range(4)
    ]
    textures = [random.integers(30, 220, (side, side)).astype(np.uint8) for *_, side in moving]
    for number in range(count):
        frame = still.copy()
        for (x, y, vx, vy, side), texture in zip(moving, textures, strict=True):
            left = int(x + vx * number + 6 * np.sin(number / 7 + x)) % (width - side)
            top = int(y + 0.4 * vy * number + 4 * np.sin(number / 5)) % (height - side)
            frame[top : top + side, left : left + side] = cv2.GaussianBlur(texture, (3, 3), 0.8)
        noisy = frame + random.normal(0, 1.0, frame.shape)
        yield noisy.clip(16, 235).astype(np.uint8)


def two_streams(
    folder: Path,
    frames: Iterable[Luma],
    *,
    scale: float = 2,
    crop: Crop | None = None,
    lag: int = 0,
    every: int = 1,
    codec: str = "libx264",
    kbit_s: int = 150,
    rate: int = 25,
    b_frames: int = 0,
    sub_size: tuple[int, int] | None = None,
    drift: float = 0.0,
    held: tuple[int, float] = (0, 0.0),
) -> tuple[Path, Path]:
    """Writes main.mp4 and sub.mp4; the sub-stream begins ``lag`` frames later.

    ``every``: it has one frame of so many. ``drift``: its clock is so much faster.
    ``held``: from a frame of it on, all come so many seconds later.
    """
    scene = list(frames)
    height, width = scene[0].shape
    cut = crop or Crop(0, 0, width, height)
    size = sub_size or (round(cut.width / scale) // 2 * 2, round(cut.height / scale) // 2 * 2)
    low = [
        cv2.resize(
            frame[cut.top : cut.top + cut.height, cut.left : cut.left + cut.width],
            size,
            interpolation=cv2.INTER_AREA,
        )
        for frame in scene[lag::every]
    ]
    folder.mkdir(parents=True, exist_ok=True)
    main = write_stream(folder / "main.mp4", scene, rate, "libx264", {"crf": "16"}, b_frames)
    options = {"b": f"{kbit_s}k"} if codec == "mpeg4" else {"crf": "30"}
    step = Fraction(every, rate)
    sub = write_stream(
        folder / "sub.mp4",
        low,
        1 / (step * Fraction(1 + drift).limit_denominator(10**6)),
        codec,
        options,
        0,
        held,
    )
    return main, sub


def write_stream(
    path: Path,
    frames: Iterable[Luma],
    rate: Fraction | int,
    codec: str,
    options: dict[str, str],
    b_frames: int,
    held: tuple[int, float] = (0, 0.0),
) -> Path:
    """Writes luma as 4:2:0 without colour."""
    with av.open(str(path), "w") as out:
        stream: av.VideoStream | None = None
        for number, luma in enumerate(frames):
            if stream is None:
                stream = out.add_stream(codec, rate=round(rate))
                stream.height, stream.width = luma.shape
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, 90_000)
                stream.max_b_frames, stream.gop_size = b_frames, 50
                stream.codec_context.thread_count = 1
                if codec == "mpeg4":
                    stream.codec_context.time_base = Fraction(1, 1000)
                    stream.bit_rate = int(options["b"][:-1]) * 1000
                elif codec == "libx265":
                    stream.options = {
                        "x265-params": f"crf={options['crf']}:log-level=none:pools=1",
                        "preset": "ultrafast",
                    }
                else:
                    stream.options = options | {
                        "preset": "ultrafast" if not b_frames else "veryfast"
                    }
            height, width = luma.shape
            grey = np.full((height // 2, width), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate([luma, grey]), "yuv420p")
            base = stream.codec_context.time_base
            late_s = Fraction(held[1]) if number >= held[0] else 0
            frame.pts, frame.time_base = round((number / rate + late_s) / base), base
            frame.colorspace, frame.color_range = 1, 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
