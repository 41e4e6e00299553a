"""From 4:2:0 to R'G'B', for frames that leave as images.

FFmpeg's scaler takes every chroma for sited between its luma columns, which moves that of most
video by a quarter of a pixel, up to 25 levels at an edge; so the conversion is done here.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame, Plane

__all__ = ["rgb_of"]

# Keys' bicubic (a = -0.5): the weights of five samples, for a place seen from the middle one.
AT = np.array([0, 0, 1, 0, 0], np.float32)
HALF_AFTER = np.array([0, -0.0625, 0.5625, 0.5625, -0.0625], np.float32)
QUARTER_AFTER = np.array([0, -0.0703125, 0.8671875, 0.2265625, -0.0234375], np.float32)
QUARTER_BEFORE = QUARTER_AFTER[::-1].copy()
BETWEEN, COSITED = (QUARTER_BEFORE, QUARTER_AFTER), (AT, HALF_AFTER)  # even places, odd places


def rgb_of(frame: Frame) -> Plane:
    """Returns a frame's R'G'B', (h, w, 3) uint8, by its matrix, range and siting.

    Chroma is brought to luma's size by Keys' bicubic with mirrored borders; nothing is rounded
    before the end.
    """
    if frame.is_rgb:
        return frame.planes[0]
    luma, *chroma = frame.planes
    doubled = (_doubled(plane, frame.colour)[: frame.height, : frame.width] for plane in chroma)
    levels = cv2.merge([luma.astype(np.float32), *doubled])
    rgb = cv2.transform(levels, _matrix(frame.colour))
    rgb = cv2.addWeighted(rgb, 1, rgb, 0, 0, dtype=cv2.CV_8U)  # rounded, and cut at 0 and 255
    return np.asarray(rgb, np.uint8)


def _doubled(chroma: Plane, tags: ColourTags) -> NDArray[np.float32]:
    """A plane of chroma at luma's size: (h, w) to (2h, 2w)."""
    height, width = chroma.shape
    doubled = np.empty((2 * height, 2 * width), np.float32)
    for row, down in enumerate(BETWEEN):
        for column, across in enumerate(COSITED if tags.chroma == tags.CHROMA_LEFT else BETWEEN):
            doubled[row::2, column::2] = cv2.sepFilter2D(
                chroma, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT
            )
    return doubled


def _matrix(tags: ColourTags) -> NDArray[np.float64]:
    """(3, 4): what Y, Cb, Cr and 1 are multiplied by, for R', G' and B' each."""
    black, luma_span, chroma_span = (0, 255, 255) if tags.full_range else (16, 219, 224)
    kr, kb = tags.kr_kb
    red, blue = 2 * (1 - kr), 2 * (1 - kb)
    green = [-blue * kb / (1 - kr - kb), -red * kr / (1 - kr - kb)]
    rows = np.array([[1, 0, red], [1, *green], [1, blue, 0]])
    rows *= np.array([255 / luma_span, 255 / chroma_span, 255 / chroma_span])
    return np.column_stack([rows, rows @ [-black, -128, -128]])
