"""Where the layers of the built-in scene are painted, at several times their final size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamsr.media.scene.font import ROWS, text_mask

__all__ = ["Canvas", "Colour", "Levels", "fractal"]

Levels = NDArray[np.float32]
Colour = tuple[float, float, float]


class Canvas:
    """A layer in the making: R'G'B' times alpha, and alpha, (4, rows, columns) in [0, 1].

    Everything is painted in pixels of a picture of 180 lines, fractions allowed, each ``fine``
    pixels of the canvas; what lies outside of it is cut off.
    """

    def __init__(self, height: float, width: float, fine: float) -> None:
        self.fine = fine
        self.pixels: Levels = np.zeros((4, round(height * fine), round(width * fine)), np.float32)

    def box(self, left: float, top: float, right: float, bottom: float) -> Levels:
        """The view of a box, for reading and writing."""
        x0, y0, x1, y1 = (max(0, round(v * self.fine)) for v in (left, top, right, bottom))
        return self.pixels[:, y0:y1, x0:x1]

    def fill(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        alpha: float = 1.0,
    ) -> None:
        """Paint a box."""
        box = self.box(left, top, right, bottom)
        paint = np.array([*colour, 1], np.float32)[:, None, None] * np.float32(alpha)
        if alpha == 1:
            box[...] = paint
        else:
            box *= np.float32(1 - alpha)
            box += paint

    def stamp(self, left: float, top: float, mask: NDArray[np.generic], colour: Colour) -> None:
        """Paint through a mask of [0, 1] in canvas pixels, its corner at (left, top)."""
        x, y = round(left * self.fine), round(top * self.fine)
        rows, columns = (max(0, -v) for v in (y, x))
        cover = mask[rows:, columns:].astype(np.float32)
        box = self.pixels[:, max(0, y) :, max(0, x) :][:, : cover.shape[0], : cover.shape[1]]
        cover = cover[: box.shape[1], : box.shape[2]]
        box *= 1 - cover
        box += np.array([*colour, 1], np.float32)[:, None, None] * cover

    def span(
        self,
        top: float,
        left: NDArray[np.floating],
        right: NDArray[np.floating],
        colour: Colour,
    ) -> None:
        """Paint a shape row by row of the canvas from ``top``, each from its left to its right."""
        x0 = float(min(left.min(), right.min()))
        columns = x0 + (np.arange(int((right.max() - x0) * self.fine) + 1) + 0.5) / self.fine
        mask = (columns >= left[:, None]) & (columns < right[:, None])
        self.stamp(x0, top, mask, colour)

    def line(
        self, points: Sequence[tuple[float, float]], colour: Colour, thickness: float = 0.5
    ) -> None:
        """Draw a line through points, ``thickness`` thick."""
        side = max(1, round(thickness * self.fine))
        brush = np.arange(side) - (side - 1) / 2
        for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
            steps = int(max(abs(x1 - x0), abs(y1 - y0)) * self.fine * 1.5) + 1
            along = np.linspace(0, 1, steps)[:, None, None]
            x = ((x0 + (x1 - x0) * along) * self.fine + brush[None, None, :]) // 1
            y = ((y0 + (y1 - y0) * along) * self.fine + brush[None, :, None]) // 1
            rows, columns = (a.ravel().astype(int) for a in np.broadcast_arrays(y, x))
            inside = (rows >= 0) & (columns >= 0)
            inside &= (rows < self.pixels.shape[1]) & (columns < self.pixels.shape[2])
            paint = np.array([*colour, 1], np.float32)[:, None]
            self.pixels[:, rows[inside], columns[inside]] = paint

    def disc(
        self, x: float, y: float, radius: float, colour: Colour, *, hole: float = 0, flat: float = 1
    ) -> None:
        """Paint an ellipse ``flat`` times as high as wide, or a ring of inner radius ``hole``."""
        reach = int(radius * self.fine) + 1
        grid = (np.arange(-reach, reach) + 0.5) / self.fine
        distance = np.hypot(grid[None, :], grid[:, None] / flat)
        self.stamp(
            x - reach / self.fine,
            y - reach / self.fine,
            (distance < radius) & (distance >= hole),
            colour,
        )

    def text(self, x: float, y: float, text: str, height: float, colour: Colour) -> None:
        """Write a line centred at (x, y), its capitals about ``height`` high."""
        mask = text_mask(text, max(1, round(height * self.fine / ROWS)))
        half_height, half_width = (side / 2 / self.fine for side in mask.shape)
        self.stamp(x - half_width, y - half_height, mask, colour)

    def shade(self, box: Levels, light: Levels | float) -> None:
        """Multiply the colours of a box of ``box()`` by ``light``."""
        box[:3] *= np.float32(light) if isinstance(light, float) else light
        np.minimum(box[:3], box[3], out=box[:3])


def fractal(height: int, width: int, slope: float, seed: int, stretch: float = 1.0) -> Levels:
    """Noise with a power-law spectrum, mean 0, deviation 1, its borders meeting.

    ``stretch`` draws it out in width.
    """
    random = np.random.default_rng(seed)
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width)[None, :] * height * stretch
    distance = np.hypot(rows, columns)
    distance[0, 0] = 1
    phase = random.random((height, distance.shape[1]), np.float32) * (2 * np.pi)
    spectrum = np.exp(1j * phase) * distance ** (-slope / 2)
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)
