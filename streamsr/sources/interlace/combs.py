"""What deinterlacing leaves of combs where something moves.

A missing row of a thin line that moves is made out of the rows beside it, and stands out from both:
a comb as coarse as the ones that were removed. Here no such row is above or below both its
neighbours by more than a little. What stands still has all its rows, and keeps them.
"""

from __future__ import annotations  # av.VideoFormat has no type arguments at run time

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Plane
from streamsr.media.pixels import bits_of, planes_of

__all__ = ["without_combs"]

MOVED = 6  # levels of 8 bits, between two frames
MADE, SENT = 4, 12  # levels by which a row may be above or below its neighbours, made or sent
REACH = np.ones((3, 3), np.uint8)  # around what moves, which changes the rows beside it


def without_combs(
    image: av.VideoFrame,
    before: av.VideoFrame,
    now: av.VideoFrame,
    after: av.VideoFrame,
) -> None:
    """Changes the luma of ``image``, which was made of ``now``: one field is sent, the other made.

    ``before`` and ``after`` are the frames beside ``now``, interlaced as that one is. Images of
    other formats than planar YUV or gray stay as they are, and those that are whole.
    """
    beside = (before, now, after)
    name = image.format.name
    planar = name.startswith(("yuv", "gray")) and not name.endswith("be")
    if not planar or any(_shape(other) != _shape(image) for other in beside):
        return
    made = planes_of(image)[0]
    rows = [planes_of(other)[0] for other in beside]
    sent = _sent_field(made, rows[1])
    if sent is None:
        return
    unit = 1 << (bits_of(image) - 8)
    moves = _moves(rows, MOVED * unit)
    made_up = moves | (cv2.absdiff(made, rows[1]) > MADE * unit)  # as far beside, at the ends
    _limit(made, 1 - sent, made_up, MADE * unit)
    _limit(made, sent, moves, SENT * unit)


def _shape(image: av.VideoFrame) -> tuple[int, int, str]:
    return image.width, image.height, image.format.name


def _sent_field(made: Plane, now: Plane) -> int | None:
    """Which rows are as they were sent, 0 the even ones; None where all or none are."""
    same = [field for field in (0, 1) if np.array_equal(made[field::2], now[field::2])]
    return same[0] if len(same) == 1 else None


def _moves(rows: list[Plane], levels: int) -> NDArray[np.bool_]:
    """Where a frame differs from the one before it or after it by more than so many levels."""
    before, now, after = rows
    moved = np.maximum(cv2.absdiff(before, now), cv2.absdiff(now, after)) > levels
    return cv2.dilate(moved.view(np.uint8), REACH).view(np.bool_)


def _limit(plane: Plane, field: int, where: NDArray[np.bool_], levels: int) -> None:
    """Limits a field's rows to what is between their neighbours, and so many levels more."""
    first = field or 2  # rows with a neighbour above and one below
    above, inner, below = plane[first - 1 : -2 : 2], plane[first:-1:2], plane[first + 1 :: 2]
    largest = np.iinfo(plane.dtype).max
    least = np.maximum(np.minimum(above, below), levels) - levels
    most = np.minimum(np.maximum(above, below), largest - levels) + levels
    np.copyto(inner, np.clip(inner, least, most), where=where[first:-1:2])
