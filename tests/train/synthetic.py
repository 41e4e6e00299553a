"""Small clips for the tests of training: textured, moving, and written without losses."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["texture", "write_clip"]


def texture(
    count: int, height: int, width: int, seed: int = 0, speed: int = 1
) -> NDArray[np.uint8]:
    """(count, h, w, 3) R'G'B': sharp-edged stripes that move to the left."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0 : width + speed * count].astype(float)
    stripes = np.sin(columns * 0.5 + rows * random.uniform(0.2, 0.6)) > random.uniform(-0.3, 0.3)
    blobs = np.sin(columns / 5 + seed) * np.cos(rows / 4)
    wide = np.stack([90 + 70 * stripes + 40 * blobs * k for k in (1.0, 0.6, -0.5)], -1)
    wide += random.normal(0, 1, wide.shape)
    levels = np.clip(np.rint(wide), 0, 255).astype(np.uint8)
    return np.stack([levels[:, speed * n : speed * n + width] for n in range(count)])


def write_clip(path: Path, luma: NDArray[np.uint8], rate: int = 25) -> Path:
    """Write (count, h, w) luma of limited range, colourless, as FFV1 in 4:2:0: without losses."""
    count, height, width = luma.shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            chroma = np.full((height // 2, width), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(
                np.concatenate([luma[number], chroma]), format="yuv420p"
            )
            frame.pts, frame.time_base = number, Fraction(1, rate)
            frame.colorspace, frame.color_range = 1, 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
