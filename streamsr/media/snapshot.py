"""A still image of what a stream shows: one frame as JPEG."""

from fractions import Fraction

import cv2

from streamsr.core.frame import Frame
from streamsr.media.rgb import rgb_of

__all__ = ["jpeg_of"]

QUALITY = 90
MOST_STRETCHED = 8  # a wrong shape of pixels must not make a huge image


def jpeg_of(frame: Frame, aspect: Fraction = Fraction(1), quality: int = QUALITY) -> bytes:
    """Returns a frame as JFIF (BT.601 in full range), its pixels made square.

    ``aspect`` is width / height of the frame's pixels: one side grows by it, none shrinks.
    ``quality`` is 1 to 100.
    """
    bgr = cv2.cvtColor(rgb_of(frame), cv2.COLOR_RGB2BGR)
    if aspect != 1:
        wider, taller = (min(max(1.0, float(by)), MOST_STRETCHED) for by in (aspect, 1 / aspect))
        size = (round(frame.width * wider), round(frame.height * taller))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_CUBIC)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
