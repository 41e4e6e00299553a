"""How a decoded image is to be turned and mirrored to stand upright: all eight ways.

Phones write what their sensor sees and how to turn it, front cameras mirror it. A container says so
by its display matrix (ISO/IEC 14496-12, 6.2.2), H.264 and H.265 by a message beside keyframes
(display orientation, ITU-T H.264, D.1.27); FFmpeg hands on both as one matrix of a frame.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type

from streamsr.core.frame import Plane

__all__ = ["UPRIGHT", "Orientation", "OrientationTracker"]


@dataclass(frozen=True, slots=True)
class Orientation:
    """What makes an image upright: rows and columns exchanged, then flipped."""

    exchanged: bool = False
    rows_flipped: bool = False  # top to bottom
    columns_flipped: bool = False  # left to right

    @classmethod
    def of_matrix(cls, matrix: bytes) -> "Orientation":
        """Returns the one of the eight that is nearest to a display matrix: nine int32 in the
        machine's order, (a, b, u, c, d, v, x, y, w). A shorter one is taken for upright."""
        if len(matrix) < 20:
            return UPRIGHT
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, b < 0, c < 0)
        return cls(False, d < 0, a < 0)

    def upright(self, plane: Plane) -> Plane:
        """Returns a plane, (h, w) or (h, w, 3), as it is to be shown: a copy where it is turned."""
        if self == UPRIGHT:
            return plane
        if self.exchanged:
            plane = plane.swapaxes(0, 1)
        rows = slice(None, None, -1 if self.rows_flipped else 1)
        columns = slice(None, None, -1 if self.columns_flipped else 1)
        return np.ascontiguousarray(plane[rows, columns])


UPRIGHT = Orientation()
TURNED = (
    UPRIGHT,
    Orientation(True, True, False),
    Orientation(False, True, True),
    Orientation(True, False, True),
)
"""By quarters of a turn, counter-clockwise."""


class OrientationTracker:
    """Follows a stream's orientation, which some state with every frame, some with keyframes only,
    and FFmpeg's own filter with the frame that follows one.

    ``keyframes``: after so many in which nobody stated any it is upright again, as a camera that
    is turned back just falls silent; None: a statement holds until the next one.
    """

    def __init__(self, keyframes: int | None = None) -> None:
        self._newest = UPRIGHT
        self._most = keyframes
        self._silent = 0  # keyframes since the newest statement

    def of(self, image: av.VideoFrame) -> Orientation:
        """Returns the orientation of the next decoded image."""
        stated = _stated(image)
        if stated is not None:
            self._newest, self._silent = stated, 0
        elif image.key_frame:
            self._silent += 1
            if self._silent == self._most:
                self._newest = UPRIGHT
        return self._newest


def _stated(image: av.VideoFrame) -> Orientation | None:
    """What comes with an image; None where nothing does."""
    try:
        found: Mapping[Type, Buffer] = cast(Any, image.side_data)  # PyAV's stub names another class
    except ValueError:  # there is side data of a kind that PyAV does not know, as EXIF is
        return TURNED[round(image.rotation / 90) % 4]
    matrix = found.get(Type.DISPLAYMATRIX)
    return None if matrix is None else Orientation.of_matrix(bytes(matrix))
