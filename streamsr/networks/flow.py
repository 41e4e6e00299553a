"""Optical flow without a network: dense inverse search, by OpenCV, on the host's CPU.

Patches of the frame are searched for in the other one, coarse to fine, and their motion spread
over the pixels they cover (Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016).
Where standing still explains the frame as well, the motion is dropped: a fixed camera's noise,
and what its encoder does from frame to frame, is no motion.

Training and inference on any device call the same function, so that a network sees the same flow
in both.
"""

import threading
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from streamsr.core.frame import Plane

__all__ = [
    "FINE",
    "USUAL",
    "Flow",
    "Search",
    "enlarged_flow",
    "flow_of_planes",
    "moved",
    "planes_of",
    "sampled",
    "sampling_grid",
]

Flow = NDArray[np.float32]
"""(h, w, 2): how many pixels to the right and down of itself a pixel lies in another frame."""

Image = TypeVar("Image", Plane, NDArray[np.float32])


@dataclass(frozen=True, slots=True)
class Search:
    """How thoroughly motion is searched for."""

    stride: int  # pixels between patches
    iterations: int  # a patch
    refinements: int  # of the whole flow


USUAL = Search(6, 8, 0)  # 4 CPU ms at 320x180
FINE = Search(4, 25, 5)  # 17, for what can wait: networks trained with USUAL gain by it, too
PATCH = 8  # pixels
SMALLEST = 32  # pixels a side that the search can do with
AROUND = (7, 7)  # pixels whose errors are compared with those of standing still
GAIN_OF_MOVING = 0.9  # the squared error must fall below this share of standing still's
NOISE = 0.25  # squared errors in levels that are none

_local = threading.local()  # a search keeps its buffers: each thread has its own


def flow_of_planes(frame: Plane, other: Plane, fold: int = 1, search: Search = USUAL) -> Flow:
    """Returns where in ``other`` each pixel of ``frame`` lies; both are (h, w) uint8 luma.

    A frame compared with itself gives zeros. With ``fold``, which divides the sides, the pixels
    are means of so many a side.
    """
    height, width = (side // fold for side in frame.shape)
    frame, other = (_searchable(x, height, width) for x in (frame, other))
    flow: Flow = _dis(search).calc(frame, other, None)  # type: ignore[call-overload] # a gap in stubs
    return np.ascontiguousarray(_steady(flow, frame, other)[:height, :width])


def planes_of(luma: Tensor) -> Plane:
    """Returns luma in [0, 1] as 8-bit levels of the same shape, fetched from where it lies."""
    levels = luma.detach().float() * 255
    return levels.round_().clamp_(0, 255).to("cpu", torch.uint8).numpy()


def _searchable(plane: Plane, height: int, width: int) -> Plane:
    """The plane averaged to (height, width), and large enough for the search."""
    if plane.shape != (height, width):
        size = (width, height)
        plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    down, across = (max(0, SMALLEST - side) for side in (height, width))
    if down or across:
        return cv2.copyMakeBorder(  # type: ignore[return-value] # uint8
            plane, 0, down, 0, across, cv2.BORDER_REPLICATE
        )
    return np.ascontiguousarray(plane)  # or the search raises: a decoder's lines are padded


def _dis(search: Search) -> cv2.DISOpticalFlow:
    """This thread's DIS of a kind."""
    kinds: dict[Search, cv2.DISOpticalFlow] = _local.__dict__.setdefault("kinds", {})
    if search not in kinds:
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        dis.setFinestScale(0)
        dis.setPatchSize(PATCH)
        dis.setPatchStride(search.stride)
        dis.setGradientDescentIterations(search.iterations)
        dis.setVariationalRefinementIterations(search.refinements)
        kinds[search] = dis
    return kinds[search]


def _steady(flow: Flow, frame: Plane, other: Plane) -> Flow:
    """The flow, zero where it explains no more than standing still."""
    there = moved(other, flow)
    still, moving = (_squared_errors(frame, x) for x in (other, there))
    moves = (still * GAIN_OF_MOVING > moving + NOISE).astype(np.float32)
    return flow * cv2.blur(moves, (3, 3))[..., None]


def _squared_errors(frame: Plane, other: Plane) -> NDArray[np.float32]:
    """The mean squared difference around each pixel, in levels²."""
    errors: NDArray[np.float32] = cv2.sqrBoxFilter(  # type: ignore[assignment]
        cv2.absdiff(frame, other), cv2.CV_32F, AROUND
    )
    return errors


def moved(image: Image, flow: Flow, interpolation: int = cv2.INTER_LINEAR) -> Image:
    """Samples (h, w) or (h, w, c) where ``flow``, (h, w, 2), points; edges repeat."""
    return sampled(image, flow, interpolation | cv2.WARP_RELATIVE_MAP)


def sampled(image: Image, places: Flow, interpolation: int = cv2.INTER_LINEAR) -> Image:
    """Samples (h, w) or (h, w, c) at ``places``, (h', w', 2) across and down; edges repeat."""
    there: Image = cv2.remap(  # type: ignore[call-overload] # one map of both axes
        image, places, None, interpolation, borderMode=cv2.BORDER_REPLICATE
    )
    return there


def enlarged_flow(flow: Flow, down: float, across: float | None = None) -> Flow:
    """Returns the flow, (h, w, 2), between images ``down`` times as high and ``across`` times as
    wide; left out, as wide as high."""
    across = down if across is None else across
    if (down, across) == (1, 1):
        return flow
    height, width = round(flow.shape[0] * down), round(flow.shape[1] * across)
    farther = flow * np.array([across, down], np.float32)
    large: Flow = cv2.resize(farther, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return large


def sampling_grid(flow: Tensor, scale: int = 1) -> Tensor:
    """Returns the grid by which ``grid_sample`` follows ``flow``, (b, 2, h, w) pixels, in an image
    ``scale`` times as large: (b, scale² * h, w, 2).

    What it samples is laid out as a pixel unshuffle would: (b, c, scale² * h, w) are the scale²
    places within a pixel, each an image of (h, w), rows of places first.
    """
    batch, _, height, width = flow.shape
    offsets = torch.stack((flow[:, 0] * (2 / width), flow[:, 1] * (2 / height)), 1).detach()
    down, across = (_places(side, scale, flow.device) for side in (height, width))
    grid = _between(offsets, scale) if scale > 1 else offsets[:, :, None, None]
    grid[:, 0] += across[:, None]
    grid[:, 1] += down[:, None, :, None]
    return grid.view(batch, 2, -1, width).permute(0, 2, 3, 1)


def _places(side: int, scale: int, device: torch.device) -> Tensor:
    """(scale, side): where each place of each pixel lies on an axis from -1 to 1."""
    places = torch.arange(side * scale, dtype=torch.float32, device=device) * 2 + 1
    return (places / (side * scale) - 1).view(side, scale).t()


def _between(x: Tensor, scale: int) -> Tensor:
    """Bilinear interpolation of (b, c, h, w) at each place of each pixel: (b, c, s, s, h, w)."""
    batch, channels, height, width = x.shape
    places = x.new_empty(batch, channels, scale, scale, height, width)
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    taps = [divmod((place + 0.5) / scale + 0.5, 1) for place in range(scale)]
    for row, (above, down) in enumerate(taps):
        line = torch.lerp(*_neighbours(wide, 2, int(above)), down)
        for column, (left, across) in enumerate(taps):
            torch.lerp(*_neighbours(line, 3, int(left)), across, out=places[:, :, row, column])
    return places


def _neighbours(x: Tensor, axis: int, first: int) -> tuple[Tensor, Tensor]:
    """``x`` without its margins on an axis, from ``first`` on and from the pixel after it on."""
    length = x.shape[axis] - 2
    return x.narrow(axis, first, length), x.narrow(axis, first + 1, length)
