"""The demo's built-in scene: a town that a camera pans along, with a counter, a clock and audio.

Pure and deterministic: a picture and its audio are functions of their number alone. Nothing is
footage: the world is drawn here, once, and shrunk as a lens would.
"""

import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Plane
from streamsr.media.glyphs import DIGITS, LINES, burn_in, read_counter
from streamsr.media.town import WORLD

__all__ = ["SOUND_RATE", "Scene", "read_counter"]

SOUND_RATE = 48_000
"""Samples a second."""


class Scene:
    """The scene at a size, both in pixels and at least 2, and a whole number of pictures a second.

    Costs about half a second and 30 MB to make at 320x180, and in proportion to the area elsewhere.
    """

    def __init__(self, width: int = 320, height: int = 180, rate: int = 25) -> None:
        self.width, self.height, self.rate = width, height, rate
        self._bands = [(band, band.layers(width, height)) for band in WORLD]
        self._audio = _tune()

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
        burn_in((y, u, v), self._lines(number), max(1 - number % self.rate / self.rate * 6, 0.1))
        half = (slice(-(-self.height // 2)), slice(-(-self.width // 2)))
        return y[: self.height, : self.width], u[half], v[half]

    def audio(self, number: int) -> NDArray[np.int16]:
        """The samples of a picture's time, mono: as many as lie in it."""
        start, end = (n * SOUND_RATE // self.rate for n in (number, number + 1))
        return self._audio[np.arange(start, end) % len(self._audio)]

    def _lines(self, number: int) -> tuple[str, str]:
        """The counter, and the clock of the scene's time."""
        seconds, hundredths = divmod(number * 100 // self.rate, 100)
        clock = f"{seconds // 60 % 100:02}:{seconds % 60:02}.{hundredths:02}"
        return f"{number % 10**DIGITS:06}", clock


def _tune() -> NDArray[np.int16]:
    """Sixteen seconds that repeat: plucked notes over slow chords, and a tick each second."""
    seconds = 16
    length = seconds * SOUND_RATE
    audio = np.zeros(length, np.float32)
    time_s = np.arange(3 * SOUND_RATE, dtype=np.float32) / SOUND_RATE
    envelope = 0.09 * np.minimum(time_s / 0.03, 1) * np.exp(-1.6 * time_s) * (1 - time_s / 3)
    for beat in range(2 * seconds):
        root, third = ((0, 3), (-4, 4), (-9, 4), (-2, 4))[beat // 8]
        step = (0, 7, 12, 12 + third, 19, 12 + third, 12, 7)[beat % 8]
        turn = time_s * np.float32(2 * np.pi * 220 * 2 ** ((root + step) / 12))
        note = envelope * (np.sin(turn) + np.float32(0.3) * np.sin(2 * turn))
        place = beat * SOUND_RATE // 2
        first = min(len(note), length - place)
        audio[place : place + first] += note[:first]
        audio[: len(note) - first] += note[first:]
    click_s = time_s[: SOUND_RATE // 100]
    click = 0.5 * np.cos(2 * np.pi * 2000 * click_s) * np.exp(-400 * click_s)
    audio.reshape(seconds, SOUND_RATE)[:, : len(click)] += click
    return np.rint(audio * 32767).astype(np.int16)
