"""What the town of the demo is drawn with: a canvas, letters, noise. Lengths are frame pixels."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FINE", "Canvas", "noise"]

Point = tuple[float, float]

FINE = 4
"""How many pixels of a canvas a pixel of a frame is wide and high."""
_FONT = """
    A 1c22223e222222 B 3c22223c22223c C 1c22202020221c D 3c22222222223c E 3e20203c20203e
    F 3e20203c202020 G 1c22202e22221e H 2222223e222222 I 1c08080808081c J 0e040404042418
    K 22242830282422 L 2020202020203e M 22362a2a222222 N 22322a26222222 O 1c22222222221c
    P 3c22223c202020 Q 1c2222222a241a R 3c22223c282422 S 1e20201c02023c T 3e080808080808
    U 2222222222221c V 22222222221408 W 2222222a2a3622 X 22221408142222 Y 22221408080808
    Z 3e02040810203e 7 3f03060c0c1818
"""
"""Seven rows of six dots a character, each row two hexadecimal digits."""
_DOTS = _FONT.split()
_ROWS = dict(zip(_DOTS[::2], map(bytes.fromhex, _DOTS[1::2]), strict=True)) | {" ": bytes(7)}


def noise(shape: tuple[int, int], cells: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Smooth random values in 0..1 of ``shape``, ``cells`` knots either way, periodic across."""
    knots = np.random.default_rng(seed).random((cells[0] + 1, cells[1]), np.float32)

    def eased(length: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        place = (np.arange(length) + 0.5) * count / length
        first = place.astype(np.intp)
        rest = (place - first).astype(np.float32)
        return first, rest * rest * (3 - 2 * rest)

    row, down = eased(shape[0], cells[0])
    column, right = eased(shape[1], cells[1])
    wide = knots[:, column] + right * (knots[:, (column + 1) % cells[1]] - knots[:, column])
    return wide[row] + down[:, None] * (wide[row + 1] - wide[row])


class Canvas:
    """What is painted on: a band of the world, from ``top`` to ``bottom``, ``width`` long.

    ``pixels`` is (h, w, 4) uint8, ``FINE`` a unit: R'G'B' multiplied by the opacity, and the
    opacity. Colours are 0xRRGGBB.
    """

    def __init__(self, width: int, top: int, bottom: int) -> None:
        self.top = top
        self.pixels = np.zeros(((bottom - top) * FINE, width * FINE, 4), np.uint8)

    def area(self, x: float, y: float, w: float, h: float) -> NDArray[np.uint8]:
        """A view of the pixels of a rectangle; its edges are rounded to whole canvas pixels."""
        s, top = FINE, self.top * FINE
        x0, x1 = max(round(x * s), 0), max(round((x + w) * s), 0)
        y0, y1 = max(round(y * s) - top, 0), max(round((y + h) * s) - top, 0)
        return self.pixels[y0:y1, x0:x1]

    def rect(self, x: float, y: float, w: float, h: float, colour: int, alpha: float = 1) -> None:
        """Fill a rectangle."""
        area = self.area(x, y, w, h)
        area[...] = _over(area, colour, alpha)

    def bars(
        self, x: float, y: float, w: float, h: float, colour: int, count: int, dx: float, dy: float
    ) -> None:
        """Fill ``count`` rectangles, each (dx, dy) from the one before."""
        for index in range(count):
            self.rect(x + index * dx, y + index * dy, w, h, colour)

    def shade(self, x: float, y: float, w: float, h: float, left: float, right: float) -> None:
        """Darken or lighten a rectangle, from ``left`` to ``right`` of its brightness."""
        area = self.area(x, y, w, h)
        gains = np.linspace(left, right, area.shape[1], dtype=np.float32)[:, None]
        area[..., :3] = np.minimum(area[..., :3] * gains, area[..., 3:])

    def disc(self, x: float, y: float, rx: float, ry: float, colour: int, alpha: float = 1) -> None:
        """Fill an ellipse round (x, y)."""
        area = self.area(x - rx, y - ry, 2 * rx, 2 * ry)
        h, w = area.shape[:2]
        down, across = np.arange(1 - h, h, 2)[:, None], np.arange(1 - w, w, 2)
        inside = (down / max(h, 1)) ** 2 + (across / max(w, 1)) ** 2 <= 1
        self._paint(area, inside, colour, alpha)

    def polygon(self, points: Sequence[Point], colour: int, alpha: float = 1) -> None:
        """Fill a convex polygon, its corners in either order."""
        xs, ys = zip(*points, strict=True)
        left, top = min(xs), min(ys)
        area = self.area(left, top, max(xs) - left + 1 / 2, max(ys) - top + 1 / 2)
        s = FINE
        first_x, first_y = max(round(left * s), 0), max(round(top * s), self.top * s)
        down, across = np.arange(area.shape[0])[:, None], np.arange(area.shape[1])
        px, py = (across + first_x + 0.5) / s, (down + first_y + 0.5) / s
        sides = [
            (x1 - x0) * (py - y0) - (y1 - y0) * (px - x0)
            for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True)
        ]
        inside = np.all([e >= 0 for e in sides], 0) | np.all([e <= 0 for e in sides], 0)
        self._paint(area, inside, colour, alpha)

    def line(self, start: Point, end: Point, thick: float, colour: int) -> None:
        """Draw a straight line, its ends cut square."""
        (x0, y0), (x1, y1) = start, end
        length = max(float(np.hypot(x1 - x0, y1 - y0)), 1e-6)
        dx, dy = (y1 - y0) / length * thick / 2, (x0 - x1) / length * thick / 2
        corners = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]
        self.polygon(corners, colour)

    def text(self, x: float, y: float, text: str, dot: float, colour: int) -> None:
        """Letter a sign: six dots a character, seven high."""
        for index, character in enumerate(text):
            for row, column in product(range(7), range(6)):
                if _ROWS[character][row] >> (5 - column) & 1:
                    left = x + (index * 6 + column) * dot
                    self.rect(left, y + row * dot, dot, dot, colour)

    @staticmethod
    def _paint(
        area: NDArray[np.uint8], inside: NDArray[np.bool_], colour: int, alpha: float
    ) -> None:
        area[inside] = _over(area[inside], colour, alpha)


def _over(under: NDArray[np.uint8], colour: int, alpha: float) -> NDArray[Any]:
    paint = np.array([*colour.to_bytes(3, "big"), 255], np.uint8)
    return paint if alpha >= 1 else under * (1 - alpha) + paint * alpha
