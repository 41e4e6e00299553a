"""Renders the clip that the built-in camera shows: ``python tools/render_demo.py``.

It draws a town that a camera pans along, 320x180 at 25 frames a second, and writes it as H.264 to
``streamsr/sources/demo.mp4``, where the package has it, or to the path given. Nothing is footage.
The clip ends where it begins, so that it can be shown in a loop; its counter and its clock are not
in it, they are drawn when it is shown. Takes about two minutes.
"""

import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange
from demo.canvas import FINE
from demo.town import LOOP_S, WORLD
from numpy.typing import NDArray

__all__ = ["render", "write"]

CLIP = Path(__file__).parents[1] / "streamsr" / "media" / "demo.mp4"
WIDTH, HEIGHT, RATE = 320, 180, 25
BT709 = 1
GOP = 200  # frames
OPTIONS = {"preset": "veryslow", "tune": "psnr", "crf": "17.5", "bf": "8", "sc_threshold": "0"}
YCBCR = np.array(  # BT.709: what R', G', B' and 1 are multiplied by, for Y, Cb and Cr each
    [
        [0.2126 * 219 / 255, 0.7152 * 219 / 255, 0.0722 * 219 / 255, 16],
        [-0.2126 / 1.8556 * 224 / 255, -0.7152 / 1.8556 * 224 / 255, 0.5 * 224 / 255, 128],
        [0.5 * 224 / 255, -0.7152 / 1.5748 * 224 / 255, -0.0722 / 1.5748 * 224 / 255, 128],
    ]
)


def render(numbers: Iterable[int] = range(LOOP_S * RATE)) -> Iterator[NDArray[np.uint8]]:
    """Yields frames, each with its planes one after the other as a file of raw 4:2:0 has them.

    BT.709 of limited range, chroma sited left; (270, 320) uint8.
    """
    bands = [(band, band.canvases()) for band in WORLD]
    for number in numbers:
        time_s = number / RATE
        view = np.zeros((HEIGHT * FINE, WIDTH * FINE, 3), np.float32)
        for band, canvases in bands:
            canvas = canvases[int(time_s * band.steps_s) % len(canvases)]
            rows = slice(canvas.top * FINE, canvas.top * FINE + len(canvas.pixels))
            shift = round((band.start + band.speed * time_s) * FINE)
            columns = (np.arange(WIDTH * FINE) + shift) % canvas.pixels.shape[1]
            pixels = canvas.pixels[:, columns].astype(np.float32)
            view[rows] *= 1 - pixels[..., 3:] / 255
            view[rows] += pixels[..., :3]
        yield _subsampled(view)


def _subsampled(view: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Shrinks a fine view as a lens would, and halves its chroma."""
    shrunk = cv2.resize(cv2.blur(view, (3, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    levels = np.asarray(cv2.transform(shrunk, YCBCR))
    halved = (levels[::2] + levels[1::2]) / 2
    sited = cv2.sepFilter2D(halved, -1, np.array([0.25, 0.5, 0.25]), np.ones(1))[:, ::2]
    chroma = [sited[..., index].reshape(-1, WIDTH).clip(16, 240) for index in (1, 2)]
    planes: NDArray[np.float32] = np.concatenate([levels[..., 0].clip(16, 235), *chroma])
    return np.rint(planes).astype(np.uint8)


def write(path: Path) -> None:
    """Renders the clip and writes it to ``path``."""
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=RATE, options=OPTIONS)
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", GOP
        context = video.codec_context
        context.thread_count = 1  # more would cost bits
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        for number, planes in enumerate(render()):
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else CLIP)
