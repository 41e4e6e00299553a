"""Synthetic camera motion over photographs: cameras that stand still, shake, pan or zoom.

Footage of cameras that are moved teaches nothing of fixed ones, which most are.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame, Plane
from streamsr.sources.opening import file_frames
from streamsr.train.frames import in_range, levels
from streamsr.train.settings import STILL_FRAMES

__all__ = ["Motion", "moving"]

WIDTH, HEIGHT = 448, 256  # of a view; smaller stills give less
MARGIN = 0.9  # of the still is seen at most, so that the view can move
SUBSAMPLED = (1, 2, 2)  # samples of luma a sample of each plane, either way


@dataclass(frozen=True, slots=True)
class Motion:
    """How a camera moves; the defaults: not at all."""

    zoom: float = 1.0  # pixels of the still a pixel of the view
    start: tuple[float, float] = (0.5, 0.5)  # down and across, from 0 to 1
    pan_px: tuple[float, float] = (0.0, 0.0)  # a frame, in pixels of the view
    closing: float = 0.0  # how much nearer it comes in a frame, as a share
    shake_px: float = 0.0  # sigma of its shaking
    seed: int = 0  # of the shaking

    @classmethod
    def drawn(cls, seed: tuple[int, ...], hanging: float) -> Self:
        """Draws the motion that ``seed`` stands for: none for a share of them, ``hanging``."""
        random = np.random.default_rng(seed)
        still = cls(
            zoom=float(random.uniform(1.0, 1.6)),
            start=(float(random.random()), float(random.random())),
            seed=int(random.integers(1 << 31)),
        )
        kind = (random.random() - hanging) / max(1 - hanging, 1e-9)
        if kind < 0:
            return still
        if kind < 1 / 3:
            return replace(still, shake_px=float(random.uniform(0.1, 1.0)))
        if kind < 2 / 3:
            return replace(still, closing=float(random.uniform(-0.004, 0.004)))
        down, across = random.uniform(-0.5, 0.5), random.uniform(-2.5, 2.5)
        return replace(still, pan_px=(float(down), float(across)))


def moving(path: Path, motion: Motion) -> list[Frame]:
    """Returns what a camera shows of the photograph at ``path``: 4:2:0 of limited range.

    Raises InputError where it is none in Y'CbCr.
    """
    photograph = next(iter(file_frames(path)), None)
    if photograph is None or photograph.is_rgb:
        raise InputError(f"still {path}: got no Y'CbCr image, allowed is a JPEG")
    planes = _zoomed(photograph, motion.zoom)
    extent = planes[0].shape[2:]
    height, width = (
        min(most, int(side * MARGIN)) // 16 * 16
        for most, side in zip((HEIGHT, WIDTH), extent, strict=True)
    )
    tags = replace(photograph.colour, full_range=False)

    @cache  # a camera that stands still shows one view
    def seen(down: float, across: float, nearer: float) -> tuple[Plane, ...]:
        return tuple(
            _view(plane, (height // n, width // n), (down / n, across / n), nearer)
            for plane, n in zip(planes, SUBSAMPLED, strict=True)
        )

    places = _places(motion, (height, width), extent)
    return [Frame(seen(*place), tags, n, Fraction(1, 25)) for n, place in enumerate(places)]


def _zoomed(photograph: Frame, zoom: float) -> list[Tensor]:
    """(1, 1, h, w) levels of limited range of each plane, sides even, large enough for the view."""
    most = min(photograph.height / HEIGHT, photograph.width / WIDTH) * MARGIN
    zoom = max(1.0, min(zoom, most))
    sides = [int(side / zoom) // 2 * 2 for side in (photograph.height, photograph.width)]
    samples = [torch.from_numpy(np.array(p)).float()[None, None] for p in photograph.planes]
    return [
        F.interpolate(plane, [side // n for side in sides], mode="bicubic", antialias=True)
        for plane, n in zip(in_range(samples, photograph.colour, False), SUBSAMPLED, strict=True)
    ]


def _places(
    motion: Motion, view: tuple[int, int], extent: tuple[int, ...]
) -> list[tuple[float, float, float]]:
    """For each frame the view's first row and column, and how much nearer it is."""
    random = np.random.default_rng(motion.seed)
    last = np.array(extent) - view
    first = np.rint(np.array(motion.start) * last / 2) * 2  # whole chroma samples: nothing is lost
    shakes = random.normal(0, 1, (STILL_FRAMES, 2)) * motion.shake_px
    moved = np.array(motion.pan_px) * np.arange(STILL_FRAMES)[:, None]
    corners = np.clip(first + moved + shakes, 0, last).tolist()
    return [(*corner, (1 + motion.closing) ** n) for n, corner in enumerate(corners)]


def _view(plane: Tensor, size: tuple[int, int], place: tuple[float, float], nearer: float) -> Plane:
    """The part of (1, 1, h, w) levels that begins at ``place``, seen from nearer by a factor."""
    axes = []
    for length, first, extent in zip(size, place, plane.shape[2:], strict=True):
        offsets = (torch.arange(length) - (length - 1) / 2) / nearer
        samples = first + (length - 1) / 2 + offsets
        axes.append((2 * samples + 1) / extent - 1)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)[None]
    seen = F.grid_sample(plane, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return levels(seen[0, 0])
