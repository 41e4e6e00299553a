"""What a camera gains that teaches itself, and whether the training keeps to its time.

    python benchmarks/teach.py [MINUTES] [CLIP...]

Each clip, the built-in camera's by itself, is coded as the two streams of one camera: the main
stream in H.264, the sub-stream half as large, a crop, in H.265 at the full and in H.264 at half
the rate, 320 ms apart. Then `teach` is given MINUTES (1.5): what it aligned, what the family's
member that it began with and the new one gain over bicubic on frames that training did not see,
and how long it took.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, process_time

import av
import cv2
import numpy as np
import torch

from streamsr.core.settings import InputSettings
from streamsr.sources.demo import CLIP
from streamsr.train.teach.recording import Recorded
from streamsr.train.teach.teaching import teach, trainable
from streamsr.zoo.registry import members

CROP = 0.05, 0.05, 0.9, 0.9  # of the main frame's sides: left, top, width, height
LATE = 8  # frames: 320 ms of 25 a second


@dataclass(frozen=True)
class Sub:
    """How the sub-stream is coded."""

    codec: str
    options: dict[str, str]
    every: int  # one frame of so many


SUBS = {
    "H.265, crf 32": Sub(
        "libx265", {"x265-params": "crf=32:log-level=none", "preset": "ultrafast"}, 1
    ),
    "H.264, crf 33, half the rate": Sub("libx264", {"crf": "33", "preset": "veryfast"}, 2),
}


def even(number: float) -> int:
    return round(number / 2) * 2


def write(path: Path, frames: Iterator[np.ndarray], rate: Fraction, sub: Sub) -> None:
    """Frames as 4:2:0 without colour."""
    with av.open(str(path), "w") as out:
        stream: av.VideoStream | None = None
        for number, luma in enumerate(frames):
            if stream is None:
                stream = out.add_stream(sub.codec, rate=rate, options=sub.options)
                (stream.height, stream.width), stream.pix_fmt = luma.shape, "yuv420p"
                stream.codec_context.gop_size = 50
            grey = np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)
            image = av.VideoFrame.from_ndarray(np.concatenate([luma, grey]), "yuv420p")
            image.pts, image.time_base = number, 1 / rate
            out.mux(stream.encode(image))
        assert stream is not None
        out.mux(stream.encode(None))


def crop_of(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels."""
    left, top, across, down = CROP
    return even(left * width), even(top * height), even(across * width), even(down * height)


def luma_of(clip: Path) -> Iterator[np.ndarray]:
    with av.open(str(clip)) as container:
        for image in container.decode(video=0):
            luma = image.to_ndarray(format="yuv420p")[: image.height]
            yield luma[: image.height // 4 * 4, : image.width // 4 * 4]


def shown(frames: Iterator[np.ndarray], sub: Sub) -> Iterator[np.ndarray]:
    for number, luma in enumerate(frames):
        if number < LATE or (number - LATE) % sub.every:
            continue
        height, width = luma.shape
        left, top, across, down = crop_of(width, height)
        size = even(across / 2), even(down / 2)
        cut = luma[top : top + 2 * size[1], left : left + 2 * size[0]]
        yield cv2.resize(cut, size, interpolation=cv2.INTER_AREA)


def row(clip: Path, kind: str, minutes: float, folder: Path) -> str:
    sub, rate = SUBS[kind], Fraction(25)
    paths = folder / "main.mp4", folder / "sub.mp4"
    write(paths[0], luma_of(clip), rate, Sub("libx264", {"crf": "18", "preset": "veryfast"}, 1))
    write(paths[1], shown(luma_of(clip), sub), rate / sub.every, sub)
    recorded = Recorded(*(InputSettings(url=str(path)) for path in paths), None)
    start, spent = monotonic(), process_time()
    made = teach(
        recorded, trainable(members("fast-camera")), name="t", runs=folder / "runs", minutes=minutes
    )
    took, cpu = monotonic() - start, process_time() - spent
    height, width = next(luma_of(clip)).shape
    left, top, across, down = crop_of(width, height)
    wanted = left, top, 2 * even(across / 2), 2 * even(down / 2)
    found = made.left, made.top, made.width, made.height
    off = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
    frames = sum(clip.frames for clip in made.after.clips)
    cells = (
        f"{clip.stem} {width}x{height}",
        kind,
        f"{abs(made.lag_s - LATE / rate) * 1e3:.0f} ms",
        f"{off:.2f} px",
        f"{made.pairs['train']} / {frames}",
        f"{made.before.bicubic.psnr_db:.2f}",
        f"{made.before.gain_db:+.2f}",
        f"{made.after.gain_db:+.2f}",
        f"**{made.improvement_db:+.2f}**",
        "kept" if made.folder else "not kept",
        f"{took:.0f} of {minutes * 60:.0f} s, {cpu:.0f} s CPU, {made.steps} steps",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    arguments = sys.argv[1:]
    minutes = float(arguments[0]) if arguments else 1.5
    torch.set_num_threads(2)
    headers = (
        "clip",
        "sub-stream",
        "lag off",
        "crop off",
        "frames: trained / unseen",
        "bicubic dB",
    )
    headers += ("begun with", "taught", "dB more", "", "time")
    print(f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}")  # noqa: T201
    for clip in [Path(name) for name in arguments[1:]] or [CLIP]:
        for kind in SUBS:
            with TemporaryDirectory() as folder:
                print(row(clip, kind, minutes, Path(folder)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
