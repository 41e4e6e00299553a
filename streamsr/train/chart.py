"""Small charts and sheets as pictures: curves of a run, quality over time, crops side by side.

Drawn with the font and canvas of the built-in scene: a plotting library would be larger than all
that is plotted here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from streamsr.core.errors import OutputError
from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.media.glyphs import Canvas
from streamsr.media.png import PngEncoder

__all__ = ["Series", "chart", "sheet", "write_picture"]

INK, GRID, PAPER = 0x222222, 0xDDDDDD, 0xFFFFFF
COLOURS = (0x1F6FB4, 0xD9541E, 0x2C9A4B, 0x8A5BB0, 0x8C6239, 0xC73C77)
HEIGHT, WIDTH = 540, 290  # in pixels; in the canvas' units
LEFT, TOP, RIGHT, BOTTOM = 26.0, 16.0, 280.0, 160.0  # of the plot, in units
DOT = 0.6  # units a dot of a letter takes
CELL = 6 * DOT  # a letter
GAP = 6  # pixels between the pictures of a sheet
LETTER = 14  # pixels a line of text is high


@dataclass(frozen=True, slots=True)
class Series:
    """What one colour shows: a line through its points, or dots with their names beside them."""

    name: str
    points: Sequence[tuple[float, float]]
    joined: bool = True


def chart(series: Sequence[Series], title: str, across: str, up: str) -> Plane:
    """Draw ``series`` over axes that hold all their points: (h, w, 3) R'G'B'."""
    canvas = Canvas(HEIGHT, WIDTH, 0, 180)
    canvas.rect(0, 0, WIDTH, 180, PAPER)
    xs, ys = zip(*(point for s in series for point in s.points), strict=True)
    plot = _Plot(canvas, _span(xs), _span(ys))
    _write(canvas, LEFT, 4, title)
    _write(canvas, RIGHT - len(across) * CELL, BOTTOM + 11, across)
    _write(canvas, 2, 9, up)
    plot.axes()
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        plot.draw(one, colour)
        if one.joined:
            _write(canvas, RIGHT - 70, TOP + 4 + 6 * number, one.name, colour)
    return _paper(canvas)


def sheet(rows: Sequence[tuple[str, Sequence[tuple[str, Plane]]]]) -> Plane:
    """Put pictures, (h, w, 3) each, side by side: a title a row and a name below each picture."""
    made = [_row(title, pictures) for title, pictures in rows]
    width = max(row.shape[1] for row in made)
    return np.concatenate(
        [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in made]
    )


def write_picture(path: Path, rgb: Plane) -> None:
    """Write (h, w, 3) R'G'B' as PNG. Raises OutputError."""
    frame = Frame((rgb,), ColourTags(0, 1, 13, True), 0, Fraction(1, 25))
    try:
        path.write_bytes(PngEncoder().encode(frame))
    except OSError as error:
        raise OutputError(f"picture {path}: cannot be written: {error.strerror}") from None


class _Plot:
    def __init__(self, canvas: Canvas, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._canvas, self._x, self._y = canvas, x, y

    def _place(self, point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - self._x[0]) / (self._x[1] - self._x[0])
        up = (point[1] - self._y[0]) / (self._y[1] - self._y[0])
        return LEFT + across * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP)

    def axes(self) -> None:
        for value in _ticks(self._x):
            left, _ = self._place((value, self._y[0]))
            self._canvas.rect(left, TOP, 0.3, BOTTOM - TOP, GRID)
            label = f"{value:g}"
            _write(self._canvas, left - len(label) * CELL / 2, BOTTOM + 3, label)
        for value in _ticks(self._y):
            _, top = self._place((self._x[0], value))
            self._canvas.rect(LEFT, top, RIGHT - LEFT, 0.3, GRID)
            label = f"{value:g}"
            _write(self._canvas, LEFT - 2 - len(label) * CELL, top - 2, label)

    def draw(self, series: Series, colour: int) -> None:
        places = [self._place(point) for point in series.points]
        if series.joined:
            for start, end in pairwise(places):
                self._canvas.line(start, end, 0.8, colour)
            return
        for left, top in places:
            self._canvas.disc(left, top, 1.6, 1.6, colour)
            room = left + 3 + len(series.name) * CELL < RIGHT
            _write(
                self._canvas,
                left + 3 if room else left - 3 - len(series.name) * CELL,
                top - 2,
                series.name,
                colour,
            )


def _span(values: Sequence[float]) -> tuple[float, float]:
    """From below the least to above the largest."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or max(abs(low) * 0.1, 1.0)
    return low - margin, high + margin


def _ticks(span: tuple[float, float]) -> list[float]:
    """Round values inside a span, four to nine of them."""
    step = 10.0 ** math.floor(math.log10(span[1] - span[0]))
    while (span[1] - span[0]) / step < 4:
        step /= 2
    first = math.ceil(span[0] / step)
    return [round(n * step, 9) for n in range(first, math.floor(span[1] / step) + 1)]


def _write(canvas: Canvas, x: float, y: float, text: str, colour: int = INK) -> None:
    """Letter a line; the font has capitals, digits, full stops and colons, and dashes are drawn."""
    for number, character in enumerate(text.upper()):
        left = x + number * CELL
        if character in "-_":
            canvas.rect(left + DOT, y + 3 * DOT, 4 * DOT, DOT, colour)
        elif character == "+":
            canvas.rect(left + DOT, y + 3 * DOT, 5 * DOT, DOT, colour)
            canvas.rect(left + 3 * DOT, y + DOT, DOT, 5 * DOT, colour)
        elif character.isascii() and (character.isalnum() or character in ".:"):
            canvas.text(left, y, character, DOT, colour)


def _paper(canvas: Canvas) -> Plane:
    """The canvas at the picture's size, each pixel the mean of those it is painted with."""
    fine = canvas.fine
    rows, columns = (side // fine for side in canvas.pixels.shape[:2])
    blocks = canvas.pixels[: rows * fine, : columns * fine, :3]
    blocks = blocks.reshape(rows, fine, columns, fine, 3)
    return np.ascontiguousarray(blocks.mean((1, 3)).round().astype(np.uint8))


def _row(title: str, pictures: Sequence[tuple[str, Plane]]) -> Plane:
    named = [
        np.concatenate([picture, _label(name, picture.shape[1])]) for name, picture in pictures
    ]
    height = max(column.shape[0] for column in named)
    columns = [
        np.pad(c, ((0, height - c.shape[0]), (0, GAP), (0, 0)), constant_values=255) for c in named
    ]
    row = np.concatenate(columns, 1)
    return np.concatenate([_label(title, row.shape[1]), row])


def _label(text: str, width: int) -> Plane:
    """A line of text on white, ``LETTER`` pixels high, cut at ``width``."""
    canvas = Canvas(LETTER * 180 // 7, 7 * width / LETTER, 0, 7)
    canvas.rect(0, 0, 7 * width / LETTER, 7, PAPER)
    _write(canvas, 0.5, 1, text)
    line = _paper(canvas)[:LETTER, :width]
    return np.pad(
        line,
        ((0, LETTER - line.shape[0]), (0, width - line.shape[1]), (0, 0)),
        constant_values=255,
    )
