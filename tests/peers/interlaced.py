"""Interlaced clips: each frame holds two moments of a scene, in rows that alternate."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from peers.clip import scene

__all__ = ["combed", "interlaced_clip", "moments", "telecined", "woven"]

Planes = tuple[NDArray[np.uint8], ...]


def moments(width: int, height: int, count: int) -> Iterator[Planes]:
    """Gives ``count`` moments of a soft texture that pans by 2 pixels a moment, in 4:2:0."""
    for luma, *chroma in scene(width, height, count):
        luma[: height // 6 + 1] = 128  # a number would flicker: no texture
        yield (cv2.GaussianBlur(luma, (0, 0), 1.5), *chroma)


def woven(moments: Iterable[Planes], *, top_first: bool = True) -> Iterator[Planes]:
    """Puts two moments at a time into one frame."""
    pairs = iter(moments)
    for first in pairs:
        second = next(pairs)
        top, bottom = (first, second) if top_first else (second, first)
        frame = tuple(plane.copy() for plane in top)
        for plane, other in zip(frame, bottom, strict=True):
            plane[1::2] = other[1::2]
        yield frame


def telecined(film: Iterable[Planes]) -> Iterator[Planes]:
    """Makes five frames of four, by 3:2 pulldown: the third and the fourth hold two moments."""
    frames = iter(film)
    while four := list(islice(frames, 4)):
        a, b, c, d = four
        yield from (a, b, *woven((b, c)), *woven((c, d)), d)


def interlaced_clip(
    path: Path,
    *,
    frames: int = 30,
    width: int = 192,
    height: int = 112,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    top_first: bool = True,
    flagged: bool = True,
    images: Iterable[Planes] | None = None,
    still: int = 0,
) -> Path:
    """Writes a clip whose frame ``n`` holds the moments ``2n`` and ``2n + 1`` of the scene.

    ``flagged``: its stream says that it is interlaced, whatever it is. ``images`` take the place of
    the scene's; the first one is shown ``still`` times more.
    """
    images = images or woven(moments(width, height, 2 * frames), top_first=top_first)
    with av.open(path, "w") as out:
        video = out.add_stream(codec, rate=Fraction(rate))
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.time_base = video.codec_context.time_base = 1 / Fraction(rate)
        video.codec_context.thread_count = 1
        order = "tff" if top_first else "bff"
        fields = {"flags": "+ilme+ildct"} if flagged else {}
        if codec == "libx264":
            params = f"keyint=10:scenecut=0:{order}=1" if flagged else "keyint=10:scenecut=0"
            fields = {"preset": "veryfast", "crf": "12", "x264-params": params}
        video.options = fields
        video.bit_rate = 20_000_000 if codec in ("mpeg2video", "mjpeg") else 0
        number = 0
        for planes in images:
            for _ in range(1 if number else 1 + still):
                image = av.VideoFrame(width, height, "yuv420p")
                for plane, target in zip(planes, image.planes, strict=True):
                    rows = np.frombuffer(target, np.uint8).reshape(-1, target.line_size)
                    rows[: len(plane), : plane.shape[1]] = plane
                image = image if pix_fmt == "yuv420p" else image.reformat(format=pix_fmt)
                image.pts, image.time_base = number, 1 / Fraction(rate)
                out.mux(video.encode(image))
                number += 1
        out.mux(video.encode(None))
    return path


def combed(luma: NDArray[np.uint8]) -> float:
    """The share of samples that differ from both their neighbours above and below by more than 15
    levels in one direction."""
    rows = luma.astype(np.int16)
    up, down = rows[1:-1] - rows[:-2], rows[1:-1] - rows[2:]
    return float(((up * down > 0) & (np.minimum(abs(up), abs(down)) > 15)).mean())
