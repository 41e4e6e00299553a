"""The demo's built-in scene: a town that a camera pans along, with a counter, a clock and sound.

Pure and deterministic: a picture and its sound are functions of their number alone. Nothing is
footage: the world is drawn here, once, and shrunk as a lens would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from streamsr.frame import Plane
from streamsr.media.glyphs import CELL, LINES, Canvas, Layer, bitmap, noise

__all__ = ["SOUND_RATE", "Scene", "read_counter"]

SOUND_RATE = 48_000
"""Samples a second."""


class Scene:
    """The scene at a size, both in pixels and at least 2, and a whole number of pictures a second.

    Costs about a second and 20 MB to make at 320x180, and in proportion to the area elsewhere.
    """

    def __init__(self, width: int = 320, height: int = 180, rate: int = 25) -> None:
        self.width, self.height, self.rate = width, height, rate
        self._bands = [(band, band.layers(width, height)) for band in _WORLD]
        self._sound = _tune()

    def picture(self, number: int) -> tuple[Plane, Plane, Plane]:
        """(Y, Cb, Cr) of 4:2:0 in 8 bits, BT.709 of limited range, chroma sited left."""
        height, width = (n + n % 2 for n in (self.height, self.width))
        planes = [np.empty((height // r, width // r), np.uint16) for r in (1, 2, 2)]
        time_s = number / self.rate
        for band, layers in self._bands:
            layer = layers[int(time_s * band.steps_s) % len(layers)]
            pixels = (band.start + band.speed * time_s) * self.height / LINES
            layer.paste(planes, round(pixels * layer.fine))
        y, u, v = (plane.astype(np.uint8) for plane in planes)
        self._count(number, y, u, v)
        half = (slice(-(-self.height // 2)), slice(-(-self.width // 2)))
        return y[: self.height, : self.width], u[half], v[half]

    def sound(self, number: int) -> NDArray[np.int16]:
        """The samples of a picture's time, mono: as many as lie in it."""
        start, end = (n * SOUND_RATE // self.rate for n in (number, number + 1))
        return self._sound[np.arange(start, end) % len(self._sound)]

    def _count(self, number: int, y: Plane, u: Plane, v: Plane) -> None:
        """Burn in the counter, the clock and the lamp that flashes on whole seconds."""
        dot = max(self.height // LINES, 1)
        hundredths = number * 100 // self.rate
        minutes, seconds = hundredths // 6000 % 100, hundredths // 100 % 60
        lines = (
            f"{number % 10**_DIGITS:06}".ljust(_DIGITS),
            f"{minutes:02}:{seconds:02}.{hundredths % 100:02}",
        )
        box = _BOX.copy()
        for row, line in zip((_PAD, _PAD + CELL + 2), lines, strict=True):
            box[row : row + CELL, _PAD : _PAD + CELL * _DIGITS][bitmap(line)] = 235
        glow = max(1 - number % self.rate / self.rate * 6, 0.12)  # from the tick on, gone in 1/6 s
        box[_LAMP] = 16 + 219 * glow
        rows, columns = (slice(_LEFT * dot, (_LEFT + n) * dot) for n in box.shape)
        target = y[rows, columns]
        target[...] = box.repeat(dot, 0).repeat(dot, 1)[: target.shape[0], : target.shape[1]]
        rows, columns = (slice(s.start // 2, s.stop // 2) for s in (rows, columns))
        u[rows, columns] = v[rows, columns] = 128


# The counter's box, in dots from the picture's corner: a dot is a pixel up to 359 lines.
_LEFT, _PAD, _DIGITS = 4, 3, 8
_BOX = np.full((2 * CELL + 2 + 2 * _PAD, CELL * _DIGITS + 4 * _PAD + 4), 16, np.uint8)
_LAMP = (
    slice(0, None),
    slice(0, None),
    )
