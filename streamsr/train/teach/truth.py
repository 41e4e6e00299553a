"""What a network is to make of the sub-stream: the main stream's frames on its grid.

The main frame is resampled to a whole number of pixels for each of the sub-stream's, where the
sub-stream shows it, by Keys' bicubic, antialiased where it shrinks; where the two grids coincide
pixels are copied as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from streamsr.core.frame import Frame, Plane
from streamsr.networks.resample import KERNELS
from streamsr.train.teach.registration import Geometry

__all__ = ["FULL", "IDENTITY", "LIMITED", "Grid", "Light", "grid_of"]

CLOSE_PX = 0.15  # of the main frame: how exact a registration is at best
MARGIN_PX = 2.0  # of the main frame, that is left out where the sub-stream shows more than it


@dataclass(frozen=True, slots=True)
class Light:
    """How the sub-stream's luma follows from the main stream's, where they differ."""

    gain: float
    bias: float  # levels

    def applied(self, luma: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns luma in the sub-stream's levels."""
        return luma if self == IDENTITY else np.asarray(self.gain * luma + self.bias, np.float32)


IDENTITY = Light(1.0, 0.0)
FULL = Light(255 / 219, -16 * 255 / 219)  # from limited to full range
LIMITED = Light(219 / 255, 16.0)
FULL_CHROMA = 255 / 224


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis' filter: for each output pixel the input pixels, and their weights."""

    taps: NDArray[np.int64]  # (outputs, taps)
    weights: NDArray[np.float32]  # likewise

    @property
    def copies(self) -> bool:
        """Whether each output pixel is one of the input's."""
        return bool(self.taps.shape[1] == 1)

    def rows(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filters (h, w) to (outputs, w)."""
        if self.copies:
            return plane[self.taps[:, 0]]
        made = plane[self.taps[:, 0]] * self.weights[:, :1]
        for tap in range(1, self.taps.shape[1]):
            made += plane[self.taps[:, tap]] * self.weights[:, tap : tap + 1]
        return made


@dataclass(frozen=True, slots=True)
class Grid:
    """Where pairs are cut out of both streams."""

    scale: int  # pixels of the truth for one of the sub-stream
    left: int  # of what is used of the sub-stream's frame, in pixels
    top: int
    width: int
    height: int
    axes: tuple[tuple[Axis, Axis], ...]  # rows and columns: of luma, of chroma
    exact: bool  # pixels are copied, none is resampled
    light: Light = IDENTITY
    overlaid: NDArray[np.bool_] | None = None  # of what is used: what is enlarged as it is
    chroma_gain: float = 1.0  # about 128: where one range is full and one is limited

    def lit(self, light: Light, overlaid: NDArray[np.bool_] | None = None) -> "Grid":
        """Returns the same for streams that differ in their light or range, or in what is written
        over them: (h, w) of the sub-stream's frame."""
        gains = {FULL.gain: FULL_CHROMA, LIMITED.gain: 1 / FULL_CHROMA}
        if overlaid is not None:
            here = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
            overlaid = overlaid[here]
        gain = gains.get(light.gain, 1.0)
        return replace(self, light=light, overlaid=overlaid, chroma_gain=gain)

    def low(self, frame: Frame) -> Frame:
        """Returns what is used of a frame of the sub-stream, 4:2:0."""
        halves = [1, 2, 2]
        planes = tuple(
            np.ascontiguousarray(
                plane[
                    self.top // half : (self.top + self.height) // half,
                    self.left // half : (self.left + self.width) // half,
                ]
            )
            for plane, half in zip(frame.planes, halves, strict=True)
        )
        return replace(frame, planes=planes)

    def truth(self, frame: Frame, like: Frame) -> Frame:
        """Returns what ``like``, what is used of a frame of the sub-stream, should have been, of
        its colour; where something is written over one of the two, it is enlarged as it is.

        ``frame`` is the main stream's of the same moment, 4:2:0.
        """
        luma, *chroma = frame.planes
        planes = (
            self._as_seen(_levels(self.light.applied(_resampled(luma, self.axes[0]))), like),
            *(
                _levels((_resampled(plane, self.axes[1]) - 128) * self.chroma_gain + 128)
                for plane in chroma
            ),
        )
        return replace(like, planes=planes)

    def _as_seen(self, luma: Plane, like: Frame) -> Plane:
        if self.overlaid is None:
            return luma
        size = luma.shape[::-1]
        enlarged = cv2.resize(like.brightness, size, interpolation=cv2.INTER_CUBIC)
        there = cv2.resize(self.overlaid.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return np.where(there > 0, enlarged, luma).astype(np.uint8)


def grid_of(
    geometry: Geometry, main: tuple[int, int], sub: tuple[int, int], scale: int, multiple: int
) -> Grid:
    """Returns where pairs lie, by sizes (width, height) in pixels and what the model asks for.

    What is used of the sub-stream has sides that are multiples of 2 and of ``multiple``. Raises
    ValueError where none is left.
    """
    step = math.lcm(2, multiple)
    spans, places = [], []
    for first, share, whole, length in (
        (geometry.left, geometry.width, main[0], sub[0]),
        (geometry.top, geometry.height, main[1], sub[1]),
    ):
        start, zoom = _snapped(first * whole, share * whole / length, whole, length, scale)
        low, high = _covered(start, zoom, whole, length, step)
        if high <= low:
            raise ValueError("nothing is left of the sub-stream's frame")
        spans.append((low, high))
        places.append((start, zoom, whole))
    axes = tuple(
        tuple(
            _axis(start / half, zoom, -(-whole // half), low // half, high // half, scale)
            for (start, zoom, whole), (low, high) in zip(
                reversed(places), reversed(spans), strict=True
            )
        )
        for half in (1, 2)
    )
    (left, right), (top, bottom) = spans
    luma, chroma = axes
    exact = all(axis.copies for axis in luma)
    both = ((luma[0], luma[1]), (chroma[0], chroma[1]))
    return Grid(scale, left, top, right - left, bottom - top, both, exact)


def _snapped(start: float, zoom: float, whole: int, length: int, scale: int) -> tuple[float, float]:
    """A measured place made exact, where something simple lies within what can be measured."""
    for exact in (Fraction(whole, length), Fraction(scale), Fraction(round(zoom * 60), 60)):
        middle = start + zoom * length / 2
        first = middle - float(exact) * length / 2
        if abs(float(exact) - zoom) * length / 2 > CLOSE_PX:
            continue
        near = round(first)
        if abs(near - first) <= CLOSE_PX:
            return float(near), float(exact)
        return first, float(exact)
    return start, zoom


def _covered(start: float, zoom: float, whole: int, length: int, step: int) -> tuple[int, int]:
    """From which to which pixel of the sub-stream the main frame covers it."""
    low = 0.0 if start > -0.25 else (-start + MARGIN_PX) / zoom
    ends = start + zoom * length
    high = float(length) if ends < whole + 0.25 else (whole - start - MARGIN_PX) / zoom
    first = math.ceil(low / 2) * 2
    return first, first + max(0, math.floor(high) - first) // step * step


def _axis(start: float, zoom: float, whole: int, low: int, high: int, scale: int) -> Axis:
    """The filter from the main frame to the truth, which begins at pixel ``low``."""
    step = zoom / scale  # pixels of the main frame for one of the truth
    centres = start + (low * scale + np.arange((high - low) * scale) + 0.5) * step - 0.5
    nearest = np.rint(centres)
    if abs(step - 1) < 1e-9 and np.abs(centres - nearest).max() < 1e-6:
        taps = nearest.astype(np.int64).clip(0, whole - 1)[:, None]
        return Axis(taps, np.ones(taps.shape, np.float32))
    cubic, reach = KERNELS["bicubic"]
    widen = max(1.0, step)
    count = math.ceil(2 * reach * widen) + 1
    first = np.floor(centres - reach * widen).astype(np.int64)
    taps = first[:, None] + np.arange(count)
    weights = cubic(torch.from_numpy((taps - centres[:, None]) / widen)).numpy()
    weights /= weights.sum(1, keepdims=True)
    return Axis(taps.clip(0, whole - 1), weights.astype(np.float32))


def _resampled(plane: Plane, axes: Sequence[Axis]) -> NDArray[np.float32]:
    rows, columns = axes
    made = rows.rows(np.asarray(plane, np.float32))
    return np.ascontiguousarray(columns.rows(np.ascontiguousarray(made.T)).T)


def _levels(samples: NDArray[np.float32]) -> Plane:
    return np.rint(samples).clip(0, 255).astype(np.uint8)
