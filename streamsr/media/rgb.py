"""From 4:2:0 to R'G'B' on the caller's thread, for pictures that leave as images.

FFmpeg's scaler takes every chroma for sited between its luma columns, which moves that of most
video by a quarter of a pixel, up to 25 levels at an edge; so the conversion is done here.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame, Plane

__all__ = ["write_rgb"]

_Levels = NDArray[np.float32]

_STRIP = 16  # chroma rows at a time: a strip's arrays fit a core's cache
# Keys' bicubic (a = -0.5) of four samples, a quarter and a half after the second.
_QUARTER = (-0.0703125, 0.8671875, 0.2265625, -0.0234375)
_HALF = (-0.0625, 0.5625, 0.5625, -0.0625)


def write_rgb(frame: Frame, out: Plane) -> None:
    """Write a frame's R'G'B' into ``out``, (h, w, 3) uint8, by its matrix, range and siting.

    Chroma is brought to luma's size by Keys' bicubic with mirrored borders; nothing is rounded
    before the end.
    """
    if frame.is_rgb:
        out[...] = frame.planes[0]
        return
    red, green_cr, green_cb, blue, gain, offset = _coefficients(frame.colour)
    luma, *chroma = frame.planes
    padded = [np.pad(plane, 2, mode="symmetric") for plane in chroma]
    for top in range(0, frame.height, 2 * _STRIP):
        rows = slice(top, min(top + 2 * _STRIP, frame.height))
        grey = luma[rows] * gain + offset
        half = slice(top // 2, -(-rows.stop // 2) + 4)
        cb, cr = (_doubled(p[half], frame.colour)[: len(grey), : frame.width] for p in padded)
        for index, levels in enumerate(
            (grey + cr * red, grey + cr * green_cr + cb * green_cb, grey + cb * blue)
        ):
            out[rows, :, index] = np.clip(levels, 0, 255, out=levels)


def _coefficients(tags: ColourTags) -> tuple[np.float32, ...]:
    """Of Cr in red and green, of Cb in green and blue; of luma, and what is added to it.

    What is added holds the half level that makes cutting off the fraction rounding.
    """
    black, luma_span, chroma_span = (0, 255, 255) if tags.full_range else (16, 219, 224)
    kr, kb = tags.kr_kb
    gain = 255 / luma_span
    red, blue = (2 * (1 - k) * 255 / chroma_span for k in (kr, kb))
    green_cr, green_cb = (-x * k / (1 - kr - kb) for x, k in ((red, kr), (blue, kb)))
    values = (red, green_cr, green_cb, blue, gain, 0.5 - black * gain)
    return tuple(np.float32(value) for value in values)


def _doubled(chroma: Plane, tags: ColourTags) -> _Levels:
    """Chroma about zero at luma's size: (h + 4, w + 4) with two pixels round it to (2h, 2w)."""
    levels = chroma.astype(np.float32) - np.float32(128)
    height, width = levels.shape[0] - 4, levels.shape[1] - 4
    columns = [levels[:, k : k + width] for k in range(5)]
    wide = np.empty((height + 4, width, 2), np.float32)
    if tags.chroma == ColourTags.CHROMA_LEFT:
        wide[..., 0] = columns[2]
        wide[..., 1] = _weighted(columns[1:], _HALF)
    else:
        wide[..., 0] = _weighted(columns[3::-1], _QUARTER)
        wide[..., 1] = _weighted(columns[1:], _QUARTER)
    rows = [wide.reshape(height + 4, -1)[k : k + height] for k in range(5)]
    tall = np.empty((height, 2, 2 * width), np.float32)
    tall[:, 0] = _weighted(rows[3::-1], _QUARTER)
    tall[:, 1] = _weighted(rows[1:], _QUARTER)
    return tall.reshape(2 * height, 2 * width)


def _weighted(taps: Sequence[_Levels], weights: Sequence[float]) -> _Levels:
    total = taps[0] * np.float32(weights[0])
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        total += tap * np.float32(weight)
    return total
