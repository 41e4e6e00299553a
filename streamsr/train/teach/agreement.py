"""How much of two streams that are aligned is alike, and what is written over one of them alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.train.teach.registration import Geometry, Pairs, correlation, levelled, seen
from streamsr.train.teach.truth import Light

__all__ = ["Agreement", "agreement", "overlaid"]

Floats = NDArray[np.float32]

BLOCKS = 16, 9
DETAIL = 2.5  # levels: the deviation of what has detail, in a block
ALIKE = 0.6  # correlation of a block that agrees
COARSE = 3.0  # pixels of the sub-stream: what is sharper differs by its codec
OVERLAID = 15.0  # levels, by which what is written over one stream differs
AROUND = 9  # pixels of the sub-stream: the side of what is left out with each such pixel
MOST = 0.25  # of the frame: more is no text


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much of the sub-stream's frame can be compared, and agrees, as shares."""

    detailed: float  # of the frame
    alike: float  # of what has detail


def overlaid(pairs: Pairs, geometry: Geometry, light: Light) -> NDArray[np.bool_] | None:
    """Returns where the sub-stream, (h, w), always shows something else than the main stream, as an
    on-screen clock of another size; None where it does nowhere."""
    subs, mains = levelled(pairs, geometry, None)
    height, width = subs[0].shape
    found = []
    for main, sub in zip(mains, subs, strict=True):
        shown, rows, columns = seen(main, geometry, (width, height))
        outside = np.ones((height, width), bool)
        outside[rows, columns] = False
        difference = np.where(outside, 0, light.applied(shown) - sub).astype(np.float32)
        found.append(np.abs(cv2.GaussianBlur(difference, (0, 0), COARSE)))
    differs = (np.median(found, 0) > OVERLAID).astype(np.uint8)
    wide: NDArray[np.bool_] = cv2.dilate(differs, np.ones((AROUND, AROUND), np.uint8)).astype(bool)
    return wide if 0 < wide.mean() < MOST else None


def agreement(pairs: Pairs, geometry: Geometry) -> Agreement:
    """Returns how much of the sub-stream's frame has detail, and how much of that agrees.

    A block counts by the median over the frames: what moves through it or is written over it now
    and then does not decide.
    """
    subs, mains = levelled(pairs, geometry, None)
    detailed, alike = [], []
    for main, sub in zip(mains, subs, strict=True):
        warped, rows, columns = seen(main, geometry, (sub.shape[1], sub.shape[0]))
        blocks = [*_blocks(warped[rows, columns], sub[rows, columns])]
        detailed.append([float(theirs.std()) for _, theirs in blocks])
        alike.append([correlation(ours, theirs) for ours, theirs in blocks])
    with_detail = np.median(detailed, 0) > DETAIL
    if not with_detail.any():
        return Agreement(0.0, 0.0)
    agrees = np.median(alike, 0) > ALIKE
    return Agreement(float(with_detail.mean()), float(agrees[with_detail].mean()))


def _blocks(*images: Floats) -> Iterator[tuple[Floats, Floats]]:
    columns, rows = BLOCKS
    bands = [np.array_split(image, rows, 0) for image in images]
    for band in zip(*bands, strict=True):
        first, second = (np.array_split(part, columns, 1) for part in band)
        yield from zip(first, second, strict=True)
