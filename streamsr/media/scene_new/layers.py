"""Layers of the built-in scene: shrunk once at every sub-pixel phase, from then on only cut.

So a layer moves by fractions of a pixel at the price of a copy.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streamsr.frame import Plane
from streamsr.media.scene.canvas import Canvas, Levels

__all__ = ["Layer", "Picture"]

Picture = tuple[Plane, Plane, Plane]
_Kept = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class _Planes:
    """Planes of one kind, one a phase: what they add, and how much of what is below stays."""

    added: NDArray[np.uint8]  # (phases, planes, h, w): levels times alpha
    kept: _Kept | None  # (phases, h, w), 256 * (1 - alpha); None where nothing shows through

    def paste(self, targets: tuple[Plane, ...], phase: int, start: int, top: int) -> None:
        """Lay the planes over ``targets``, their column ``start`` on the target's first."""
        left = max(0, -start)
        columns = slice(max(0, start), max(0, start) + targets[0].shape[1] - left)
        for target, added in zip(targets, self.added[phase][..., columns], strict=True):
            there = target[top : top + added.shape[0], left : left + added.shape[1]]
            added = added[: there.shape[0]]
            if self.kept is None or there.size == 0:
                there[...] = added
                continue
            below = there * self.kept[phase, : there.shape[0], columns]
            below += 128
            below >>= 8
            below += added
            there[...] = below


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that can be laid over a picture at any pixel of its canvas."""

    luma: _Planes  # a phase for each canvas pixel of a luma column
    chroma: _Planes  # a phase for each canvas pixel of a chroma column, twice as many
    shrink: int  # canvas pixels a luma pixel
    period: int  # canvas pixels after which it repeats; 0 where it does not

    @classmethod
    def of(cls, canvas: Canvas, shrink: int, view: int = 0) -> Self:
        """Shrink a canvas, antialiased. With ``view``, luma columns, its sides meet."""
        pixels = canvas.pixels
        down = _shrunk_rows(pixels, shrink)
        yuva = _yuva(down)
        wraps = view > 0
        phases = [_shrunk_columns(yuva, shrink, phase, wraps) for phase in range(shrink)]
        halves = [
            _halved(phases[phase % shrink], phase // shrink, wraps) for phase in range(2 * shrink)
        ]
        opaque = bool(pixels[3].min() == 1)
        return cls(
            luma=_planes(np.stack(phases)[:, [0, 3]], view + 2 if wraps else 0, opaque),
            chroma=_planes(np.stack(halves)[:, 1:], view // 2 + 2 if wraps else 0, opaque),
            shrink=shrink,
            period=pixels.shape[2] if wraps else 0,
        )

    def paste(self, picture: Picture, left: int, top: int) -> None:
        """Lay the layer over a picture: its left edge at canvas pixel ``left``, row ``top``.

        ``top`` is even, since chroma rows are; a layer whose sides meet fills the width.
        """
        phase, start = self._place(left)
        self.luma.paste(picture[:1], phase % self.shrink, 2 * start + phase // self.shrink, top)
        self.chroma.paste(picture[1:], phase, start, top // 2)

    def paste_rows(self, picture: Picture, lefts: NDArray[np.int_], top: int) -> None:
        """Lay an opaque, endless layer over a picture, every row at its own place."""
        width = picture[0].shape[1]
        for row, left in enumerate(lefts.tolist()):
            phase, start = self._place(left)
            first = 2 * start + phase // self.shrink
            source = self.luma.added[phase % self.shrink, 0, row]
            picture[0][top + row] = source[first : first + width]
            if row % 2 == 0:
                half = (top + row) // 2
                columns = slice(start, start + picture[1].shape[1])
                picture[1][half], picture[2][half] = self.chroma.added[phase, :, row // 2, columns]

    def _place(self, left: int) -> tuple[int, int]:
        offset = -left % self.period if self.period else -left
        start, phase = divmod(offset, 2 * self.shrink)
        return phase, start


def _planes(phases: Levels, wrapped: int, opaque: bool) -> _Planes:
    """8-bit planes of (phases, planes + alpha, h, w), ``wrapped`` first columns repeated."""
    phases = np.concatenate([phases, phases[..., :wrapped]], axis=-1)
    alpha = phases[:, -1].clip(0, 1)
    added = phases[:, :-1].clip(16 * alpha[:, None], 240 * alpha[:, None])
    kept = None if opaque else np.rint(256 - 256 * alpha).astype(np.uint16)
    return _Planes(np.rint(added).astype(np.uint8), kept)


def _yuva(rgba: Levels) -> Levels:
    """BT.709 levels of limited range times alpha, and alpha."""
    red, green, blue, alpha = rgba
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    cb, cr = (blue - y) / 1.8556, (red - y) / 1.5748
    return np.stack([16 * alpha + 219 * y, 128 * alpha + 224 * cb, 128 * alpha + 224 * cr, alpha])


def _taps(shrink: int) -> list[tuple[int, np.float32]]:
    """Keys' bicubic (a = -0.5) widened ``shrink`` times: offsets in canvas pixels, and weights."""
    offsets = np.arange(-2 * shrink, 3 * shrink)
    x = np.abs((offsets - (shrink - 1) / 2) / shrink)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    weights /= weights.sum()
    return [(int(o), np.float32(w)) for o, w in zip(offsets, weights, strict=True) if w]


def _shrunk_rows(pixels: Levels, shrink: int) -> Levels:
    rows = pixels.shape[1] // shrink
    padded = np.pad(pixels, ((0, 0), (2 * shrink, 3 * shrink), (0, 0)), mode="edge")
    total = np.zeros((len(pixels), rows, pixels.shape[2]), np.float32)
    for offset, weight in _taps(shrink):
        first = offset + 2 * shrink
        total += padded[:, first : first + rows * shrink : shrink] * weight
    return total


def _shrunk_columns(pixels: Levels, shrink: int, phase: int, wraps: bool) -> Levels:
    columns = pixels.shape[2] // shrink
    margins = ((0, 0), (0, 0), (2 * shrink, 4 * shrink))
    padded = np.pad(pixels, margins, mode="wrap") if wraps else np.pad(pixels, margins)
    total = np.zeros((*pixels.shape[:2], columns), np.float32)
    for offset, weight in _taps(shrink):
        first = offset + 2 * shrink + phase
        total += padded[..., first : first + columns * shrink : shrink] * weight
    return total


def _halved(pixels: Levels, odd: int, wraps: bool) -> Levels:
    """Half the rows, between each pair, and half the columns, on the first or second of each."""
    rows = (pixels[:, 0::2] + pixels[:, 1::2]) / 2
    margins = ((0, 0), (0, 0), (1, 2))
    padded = np.pad(rows, margins, mode="wrap") if wraps else np.pad(rows, margins)
    width = pixels.shape[2]
    before, at, after = (padded[..., k + odd : k + odd + width : 2] for k in range(3))
    halved: Levels = (before + 2 * at + after) / 4
    return halved
