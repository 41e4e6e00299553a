"""What the built-in scene is drawn with: a font, the counter in it, a canvas, and layers of those.

All lengths are in units of 1/180 of the picture's height, so that a scene looks alike at any size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Plane

__all__ = ["DIGITS", "LINES", "Canvas", "Layer", "burn_in", "noise", "read_counter"]

LINES = 180
"""How many units a picture is high."""
DIGITS = 8
"""How many characters fit on a line of the counter."""

Point = tuple[float, float]

_CELL = 7  # dots a character takes, either way, the gap to its right included

_FONT = """
    0 1e33333333331e 1 0c1c0c0c0c0c1e 2 1e3303060c183f 3 1e33030e03331e 4 060e1e363f0606
    5 3f303e0303331e 6 1e30303e33331e 7 3f03060c0c1818 8 1e33331e33331e 9 1e33331f03031e
    : 000c0c000c0c00 . 00000000000c0c A 1c22223e222222 B 3c22223c22223c C 1c22202020221c
    D 3c22222222223c E 3e20203c20203e F 3e20203c202020 G 1c22202e22221e H 2222223e222222
    I 1c08080808081c J 0e040404042418 K 22242830282422 L 2020202020203e M 22362a2a222222
    N 22322a26222222 O 1c22222222221c P 3c22223c202020 Q 1c2222222a241a R 3c22223c282422
    S 1e20201c02023c T 3e080808080808 U 2222222222221c V 22222222221408 W 2222222a2a3622
    X 22221408142222 Y 22221408080808 Z 3e02040810203e
"""
"""Seven rows of six dots a character, each row two hexadecimal digits."""
_DOTS = _FONT.split()
_ROWS = dict(zip(_DOTS[::2], map(bytes.fromhex, _DOTS[1::2]), strict=True)) | {" ": bytes(7)}


def bitmap(text: str) -> NDArray[np.bool_]:
    """The dots of a line of text: (7, 7 * len(text)), each character's last column empty."""
    rows = np.frombuffer(b"".join(_ROWS[c] for c in text), np.uint8).reshape(-1, _CELL).T
    bits = rows[..., None] << 1 >> np.arange(_CELL - 1, -1, -1, dtype=np.uint8) & 1
    return bits.reshape(_CELL, -1).astype(bool)


# The counter's box, in dots: a dot is a pixel up to 359 lines, two from there on, and so on.
_LEFT, _PAD = 4, 3  # from the picture's corner to the box, from its edge to the characters
_BOX = np.full((2 * _CELL + 2 + 2 * _PAD, _CELL * DIGITS + 10 + 2 * _PAD), 16, np.uint8)
_LAMP = (slice(_PAD, -_PAD), slice(-_PAD - 8, -_PAD))
_READABLE = "0123456789 "
_TEMPLATES = bitmap(_READABLE).reshape(_CELL, -1, _CELL).swapaxes(0, 1).astype(np.float32)


def burn_in(planes: tuple[Plane, Plane, Plane], lines: tuple[str, str], glow: float) -> None:
    """Write two lines of up to DIGITS characters on black, and a lamp ``glow`` (0..1) bright.

    ``planes`` are those of 4:2:0, of even sizes; what has no room is cut off.
    """
    dot = max(planes[0].shape[0] // LINES, 1)
    box = _BOX.copy()
    for row, line in zip((_PAD, _PAD + _CELL + 2), lines, strict=True):
        box[row : row + _CELL, _PAD : _PAD + _CELL * DIGITS][bitmap(line.ljust(DIGITS))] = 235
    box[_LAMP] = round(16 + 219 * glow)
    box = box.repeat(dot, 0).repeat(dot, 1)
    for plane, size in zip(planes, (1, 2, 2), strict=True):
        rows, columns = (slice(_LEFT * dot // size, (_LEFT * dot + n) // size) for n in box.shape)
        target = plane[rows, columns]
        target[...] = box[: target.shape[0], : target.shape[1]] if size == 1 else 128


def read_counter(luma: Plane) -> int | None:
    """The number burnt into a picture of the scene, or into one enlarged by a whole factor.

    ``luma`` is (h, w) uint8 of limited range. None where no counter is legible.
    """
    best, allowed = None, 0.3  # the share of a character's dots that may be wrong
    for dot in range(1, min(luma.shape[0] // 26, luma.shape[1] // 76) + 1):
        height, width = _PAD + _CELL, _PAD + _CELL * DIGITS
        box = luma[_LEFT * dot :, _LEFT * dot :][: height * dot, : width * dot]
        dots = (box.reshape(height, dot, width, dot).mean((1, 3)) - 16) / 219
        edge = max(dots[: _PAD - 1].mean(), dots[:, : _PAD - 1].mean())
        cells = dots[_PAD:, _PAD:].reshape(_CELL, DIGITS, _CELL).swapaxes(0, 1)
        wrong = np.abs(cells[:, None] - _TEMPLATES).mean((2, 3))
        text = "".join(_READABLE[k] for k in wrong.argmin(1)).rstrip()
        worst = max(float(wrong.min(1).max()), float(edge))
        if worst < allowed and len(text) >= 6 and text.isdigit():
            best, allowed = int(text), worst
    return best


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
    """What is painted on: a band of the world, ``width`` units long, ``fine`` times the picture.

    ``pixels`` is (h, w, 4) uint8: R'G'B' multiplied by the opacity, and the opacity. Colours are
    0xRRGGBB.
    """

    def __init__(self, height: int, width: float, top: float, bottom: float) -> None:
        self.fine = 4 if height <= 360 else 2  # fewer where there would be many
        self.top_px = 2 * int(top * height / LINES / 2)  # even, as chroma needs it
        self._scale = height / LINES * self.fine
        rows = -(-int(bottom * height / LINES - self.top_px) // 2) * 2
        columns = 2 * max(round(width * height / LINES / 2), 1)
        self.pixels = np.zeros((rows * self.fine, columns * self.fine, 4), np.uint8)

    def area(self, x: float, y: float, w: float, h: float) -> NDArray[np.uint8]:
        """A view of the pixels of a rectangle; its edges are rounded to whole canvas pixels."""
        s, top = self._scale, self.top_px * self.fine
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
        s = self._scale
        first_x = max(round(left * s), 0)
        first_y = max(round(top * s), self.top_px * self.fine)
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
            for row, column in np.argwhere(bitmap(character)):
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


class Layer:
    """A band of the world that repeats across, shrunk antialiased once for every fine shift."""

    def __init__(self, canvas: Canvas, width: int, *, opaque: bool = False) -> None:
        self.fine = canvas.fine
        self.period = canvas.pixels.shape[1]  # in canvas pixels
        self._top = canvas.top_px
        self._opaque = opaque
        f, width = self.fine, width + width % 2
        round_lens = np.convolve(np.ones(f), np.ones(f - 1)) / (f * (f - 1))
        self._luma = _shrunk(canvas.pixels, f, round_lens, (1 - f // 2,) * 2, width, _LUMA)
        box = np.full(2 * f, 0.5 / f)
        chroma = (_shrunk(canvas.pixels, 2 * f, box, (0, -f // 2), width // 2, m) for m in _CHROMA)
        self._chroma = tuple(chroma)

    def paste(self, planes: Sequence[NDArray[np.uint16]], shift: int) -> None:
        """Blend into even-sized 4:2:0 planes with the world ``shift`` canvas pixels to the left."""
        shift %= self.period
        for index, plane in enumerate(planes):
            ratio = 2 if index else 1
            start, phase = divmod(shift, self.fine * ratio)
            paint, clear = (self._luma, *self._chroma)[index]
            rows, columns = slice(self._top // ratio, None), slice(start, start + plane.shape[1])
            target = plane[rows][: paint.shape[1]]
            window = (phase, slice(len(target)), columns)
            if not self._opaque:
                target *= clear[window]
                target += paint[window]
                target >>= 8
            else:
                np.right_shift(paint[window], 8, out=target)


_Weights = tuple[tuple[float, float, float, float], int, int]  # of R'G'B'A, lowest, highest level
_LUMA: _Weights = ((0.2126 * 219, 0.7152 * 219, 0.0722 * 219, 16.0), 16, 235)
_CHROMA: tuple[_Weights, _Weights] = (
    ((-0.2126 / 1.8556 * 224, -0.7152 / 1.8556 * 224, 0.5 * 224, 128.0), 16, 240),
    ((0.5 * 224, -0.7152 / 1.5748 * 224, -0.0722 / 1.5748 * 224, 128.0), 16, 240),
)


def _shrunk(
    pixels: Plane,
    ratio: int,
    taps: NDArray[np.float64],
    first: tuple[int, int],  # the first tap's row and column from the sample's first pixel
    width: int,
    weights: _Weights,
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Paint with the opacity in it, rounded up by a half, and what shows through, in 1/256.

    Either is (ratio, h, period + width): one for each shift by a canvas pixel.
    """
    mix, lowest, highest = weights
    rows = np.arange(0, len(pixels), ratio) + first[0]
    tall = np.zeros((len(rows), *pixels.shape[1:]), np.float32)
    for k, tap in enumerate(taps):
        tall += pixels[np.clip(rows + k, 0, len(pixels) - 1)] * np.float32(tap / 255)
    both = np.stack([tall @ np.array(mix, np.float32), tall[..., 3]])
    wide = np.zeros_like(both)
    for k, tap in enumerate(taps):
        wide += np.roll(both, -first[1] - k, 2) * np.float32(tap)
    cover = np.rint(wide[1] * 256)
    paint = np.clip(np.rint(wide[0] * 256), lowest * cover, highest * cover) + 128
    fields = np.stack([paint, 256 - cover]).astype(np.uint16)
    period = fields.shape[2]
    columns = np.arange(period // ratio + width) * ratio
    paints, clears = np.stack([fields[..., (columns + k) % period] for k in range(ratio)], 1)
    return paints, clears
