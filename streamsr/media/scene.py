"""The demo's built-in scene: a town that a camera pans along, with a counter, a clock and sound.

Pure and deterministic: a picture and its sound are functions of their number alone. Nothing is
footage: the world is drawn here, once, and shrunk as a lens would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
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
_BOX = np.full((2 * CELL + 2 + 2 * _PAD, CELL * _DIGITS + 10 + 2 * _PAD), 16, np.uint8)
_LAMP = (slice(_PAD, -_PAD), slice(-_PAD - 8, -_PAD))
_TEMPLATES = np.stack([bitmap(c) for c in "0123456789 "]).astype(np.float32)


def read_counter(luma: Plane) -> int | None:
    """The number burnt into a picture of the scene, or into one enlarged by a whole factor.

    ``luma`` is (h, w) uint8 of limited range. None where no counter is legible.
    """
    best, worst_seen = None, 0.3  # the share of a character's dots that may be wrong
    for dot in range(1, min(luma.shape[0] // 26, luma.shape[1] // 76) + 1):
        size = (_PAD + CELL, _PAD + CELL * _DIGITS)
        box = luma[_LEFT * dot :, _LEFT * dot :][: size[0] * dot, : size[1] * dot]
        dots = (box.reshape(size[0], dot, size[1], dot).mean((1, 3)) - 16) / 219
        edge = max(dots[: _PAD - 1].mean(), dots[:, : _PAD - 1].mean())
        cells = dots[_PAD:, _PAD:].reshape(CELL, _DIGITS, CELL).swapaxes(0, 1)
        wrong = np.abs(cells[:, None] - _TEMPLATES).mean((2, 3))
        text = "".join("0123456789 "[k] for k in wrong.argmin(1)).rstrip()
        worst = max(float(wrong.min(1).max()), float(edge))
        if worst < worst_seen and len(text) >= 6 and text.isdigit():
            best, worst_seen = int(text), worst
    return best


def _tune() -> NDArray[np.int16]:
    """Sixteen seconds that repeat: plucked notes over slow chords, and a tick each second."""
    seconds = 16
    length = seconds * SOUND_RATE
    sound = np.zeros(length, np.float32)
    time_s = np.arange(3 * SOUND_RATE, dtype=np.float32) / SOUND_RATE
    envelope = 0.09 * np.minimum(time_s / 0.03, 1) * np.exp(-1.6 * time_s) * (1 - time_s / 3)
    for beat in range(2 * seconds):
        root, third = ((0, 3), (-4, 4), (-9, 4), (-2, 4))[beat // 8]
        step = (0, 7, 12, 12 + third, 19, 12 + third, 12, 7)[beat % 8]
        turn = time_s * np.float32(2 * np.pi * 220 * 2 ** ((root + step) / 12))
        note = envelope * (np.sin(turn) + np.float32(0.3) * np.sin(2 * turn))
        place = beat * SOUND_RATE // 2
        first = min(len(note), length - place)
        sound[place : place + first] += note[:first]
        sound[: len(note) - first] += note[first:]
    click_s = time_s[: SOUND_RATE // 100]
    click = 0.5 * np.cos(2 * np.pi * 2000 * click_s) * np.exp(-400 * click_s)
    sound.reshape(seconds, SOUND_RATE)[:, : len(click)] += click
    return np.rint(sound * 32767).astype(np.int16)


@dataclass(frozen=True, slots=True)
class _Band:
    """A part of the world that moves as one, in units and seconds."""

    draw: Callable[[Canvas, int], None]  # the canvas, and which of the steps to draw
    width: float  # after which it repeats
    top: float
    bottom: float
    speed: float  # to the left
    start: float = 0
    steps: int = 1  # of what moves in itself, shown one after the other
    steps_s: float = 1  # how many of them a second
    opaque: bool = False

    def layers(self, width: int, height: int) -> list[Layer]:
        made = []
        for step in range(self.steps):
            canvas = Canvas(height, self.width, self.top, self.bottom)
            self.draw(canvas, step)
            made.append(Layer(canvas, width, opaque=self.opaque))
        return made


def _sky(canvas: Canvas, _step: int) -> None:
    shape = canvas.pixels.shape[:2]
    octaves = [(5, 6, 0.5), (10, 14, 0.27), (21, 33, 0.13), (45, 80, 0.07), (95, 190, 0.03)]
    clouds = sum(noise(shape, (a, b), 40 + a) * np.float32(c) for a, b, c in octaves)
    above = clouds[np.maximum(np.arange(shape[0]) - shape[0] // 25, 0)]
    down = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    cover = np.clip((clouds - 0.47) * 7, 0, 1) * (1 - 0.6 * down)
    light = np.clip(0.72 + (clouds - above) * 3, 0, 1)
    for index, (high, low, shadow) in enumerate(((58, 246, 150), (118, 214, 158), (192, 178, 178))):
        blue = high + (low - high) * down**1.4
        white = shadow + (255 - 4 * index - shadow) * light
        canvas.pixels[..., index] = blue + (white - blue) * cover
    canvas.pixels[..., 3] = 255


def _far(canvas: Canvas, _step: int) -> None:
    """Hills, a hazy skyline, a suspension bridge."""
    dice = Random(3)
    for x in range(0, 640, 2):
        turn = x / 640 * 2 * np.pi
        top = 92 - 9 * np.sin(turn) - 5 * np.sin(3 * turn + 1) - 1.5 * np.sin(17 * turn)
        canvas.rect(x, float(top), 2, 60, (146, 166, 186))
    x = 0.0
    while x < 622:
        w, top = dice.uniform(7, 18), dice.uniform(62, 104)
        tone = dice.randint(128, 160)
        canvas.rect(x, top, w, 90, (tone, tone + 12, tone + 26))
        canvas.rect(x + w / 3, top - 3, w / 3, 3, (tone, tone + 12, tone + 26))
        if dice.random() < 0.4:
            canvas.rect(x + w / 2, top - 14, 0.5, 14, (120, 130, 146))
        for row in range(int((140 - top) / 2.5)):
            for column in range(int(w / 1.5) - 1):
                if dice.random() < 0.75:
                    spot = (x + 1 + column * 1.5, top + 1.5 + row * 2.5)
                    canvas.rect(*spot, 0.7, 1.3, (tone - 26, tone - 10, tone + 14), 0.8)
        x += w + dice.choice((0, 0, 1, 6))
    canvas.shade(0, 100, 640, 50, 1.08, 1.08)
    for tower in (230, 330):
        for leg in (-3, 2):
            canvas.rect(tower + leg, 58, 1.6, 90, (150, 74, 66))
        for brace in range(60, 120, 8):
            canvas.line((tower - 3, brace), (tower + 3, brace + 8), 0.6, (150, 74, 66))
            canvas.line((tower + 3, brace), (tower - 3, brace + 8), 0.6, (150, 74, 66))
    cable = [(x, 61 + 50 * (1 - abs((x - 280) % 100 - 50) / 50) ** 2) for x in range(182, 380, 2)]
    for here, there in pairwise(cable):
        canvas.line(here, there, 0.7, (150, 74, 66))
        canvas.rect(here[0], here[1], 0.3, 114 - here[1], (150, 84, 76))
    canvas.rect(180, 113, 200, 2.5, (136, 72, 66))


def _window(canvas: Canvas, dice: Random, x: float, y: float, w: float, h: float) -> None:
    frame = (236, 230, 216)
    canvas.rect(x - 0.5, y - 0.5, w + 1, h + 1, frame)
    glass = dice.choice(((38, 52, 70), (52, 70, 92), (30, 38, 50), (214, 176, 104)))
    canvas.rect(x, y, w, h, glass)
    canvas.polygon([(x, y), (x + w * 0.8, y), (x, y + h * 0.6)], (150, 184, 214), 0.45)
    if dice.random() < 0.4:
        canvas.rect(x, y, w * 0.3, h, (226, 214, 196), 0.7)
    canvas.rect(x + w / 2 - 0.2, y, 0.4, h, frame)
    canvas.rect(x, y + h * 0.38, w, 0.4, frame)
    canvas.rect(x - 0.9, y + h + 0.5, w + 1.8, 0.7, (190, 182, 168))
    canvas.rect(x - 0.5, y + h + 1.2, w + 1, 0.6, (40, 30, 30), 0.35)


def _bricks(canvas: Canvas, x: float, y: float, w: float, h: float, seed: int) -> None:
    area = canvas.area(x, y, w, h)
    down, across = np.ogrid[: area.shape[0], : area.shape[1]]
    rows, places = down * (h / len(area)) / 1.5, across * (w / area.shape[1]) / 3.5
    places = places + rows.astype(int) % 2 / 2
    tones = np.random.default_rng(seed).uniform(0.8, 1.1, (97, 89))
    gains = tones[rows.astype(int) % 97, places.astype(int) % 89]
    gains[(rows % 1 < 0.22) | (places % 1 < 0.1)] = 1.3
    area[..., :3] = np.minimum(area[..., :3] * gains[..., None], 255)


def _brick_house(canvas: Canvas, dice: Random, x: float, top: float, w: float) -> None:
    """Brick with a cornice and a fire escape."""
    canvas.rect(
        x, top, w, _GROUND - top, dice.choice(((150, 74, 56), (166, 98, 70), (128, 66, 62)))
    )
    _bricks(canvas, x, top, w, _GROUND - top, dice.randrange(99))
    columns, rows = int(w // 9), int((_GROUND - 22 - top) // 13)
    for row in range(rows):
        for column in range(columns):
            left = x + (column + 0.5) * w / columns - 2.2
            _window(canvas, dice, left, top + 7 + row * 13, 4.4, 7.5)
    canvas.rect(x - 1, top - 1, w + 2, 3, (206, 190, 166))
    for tooth in range(int(w / 2)):
        canvas.rect(x + tooth * 2, top + 2, 1, 1.2, (186, 168, 144))
    middle = x + (columns // 2) * w / columns
    for row in range(rows - 1):
        y, side = top + 15.5 + row * 13, 6 if row % 2 else -6
        canvas.line((middle - side, y), (middle + side, y + 13), 1, (30, 30, 34))
        canvas.line((middle - side, y - 2.5), (middle + side, y + 10.5), 0.4, (34, 36, 40))
        canvas.rect(middle - 8, y, 16, 1, (30, 30, 34))
        for bar in range(12):
            canvas.rect(middle - 8 + bar * 1.4, y - 3.5, 0.4, 3.5, (30, 30, 34))


def _tower(canvas: Canvas, dice: Random, x: float, top: float, w: float) -> None:
    """Glass that mirrors the sky, a mast."""
    base = dice.choice(((70, 112, 140), (84, 120, 128), (66, 92, 132)))
    canvas.rect(x, top, w, _GROUND - top, base)
    columns, rows = int(w / 3.2), int((_GROUND - top) / 4.5)
    for row in range(rows):
        for column in range(columns):
            mirror = 0.62 * (1 - row / rows) + 0.22 * np.sin(column * 0.5 + row * 0.22 + x)
            spot = (x + column * w / columns, top + row * 4.5, w / columns, 4.5)
            canvas.rect(*spot, (196, 222, 240), float(np.clip(mirror, 0, 0.8)))
            if dice.random() < 0.05:
                canvas.rect(*spot, (250, 222, 150), 0.7)
    for row in range(rows + 1):
        canvas.rect(x, top + row * 4.5, w, 0.5, (50, 62, 76))
    for column in range(columns + 1):
        canvas.rect(x + column * w / columns - 0.2, top, 0.5, _GROUND - top, (206, 214, 220))
    canvas.rect(x + w / 2, top - 22, 0.8, 22, (70, 74, 82))
    for rung in range(6):
        canvas.line((x + w / 2 - 2.5, top), (x + w / 2 + 0.4, top - 20), 0.4, (70, 74, 82))
        canvas.rect(x + w / 2 - 2, top - 3 - rung * 3, 5, 0.4, (70, 74, 82))


def _gable(canvas: Canvas, dice: Random, x: float, top: float, w: float) -> None:
    """Coloured plaster, shutters, balconies, a tiled roof."""
    wall = dice.choice(((232, 196, 122), (214, 146, 120), (150, 186, 170), (222, 214, 196)))
    shutter = dice.choice(((52, 92, 82), (60, 84, 122), (118, 52, 48)))
    canvas.rect(x, top, w, _GROUND - top, wall)
    canvas.polygon([(x - 2, top), (x + w + 2, top), (x + w * 0.5, top - 20)], (158, 76, 56))
    for row in range(14):
        canvas.rect(
            x - 1 + row * w / 28, top - row * 1.43, w + 2 - row * w / 14, 0.4, (104, 44, 38)
        )
    canvas.rect(x + w * 0.72, top - 19, 4, 12, (142, 84, 68))
    canvas.disc(x + w / 2, top - 7, 3, 3, (236, 230, 216))
    canvas.disc(x + w / 2, top - 7, 2.3, 2.3, (40, 52, 70))
    columns, rows = int(w // 12), int((_GROUND - 20 - top) // 15)
    for row in range(rows):
        for column in range(columns):
            left, y = x + (column + 0.5) * w / columns - 2.2, top + 4 + row * 15
            _window(canvas, dice, left, y, 4.4, 8.5)
            for side in (-2.8, 5):
                canvas.rect(left + side, y, 2.2, 8.5, shutter)
                for slat in range(8):
                    canvas.rect(left + side, y + 0.4 + slat, 2.2, 0.35, wall, 0.4)
            if (row + column) % 2:
                canvas.rect(left - 3, y + 8.6, 10.4, 0.8, (44, 44, 48))
                for bar in range(9):
                    canvas.rect(left - 3 + bar * 1.25, y + 4.8, 0.35, 4, (44, 44, 48))
                canvas.rect(left - 3, y + 4.5, 10.4, 0.5, (44, 44, 48))


def _shop(canvas: Canvas, dice: Random, x: float, w: float, name: str) -> None:
    """A ground floor: a lettered board, a striped awning, goods behind glass, a door."""
    colour = dice.choice(((34, 78, 72), (122, 34, 40), (30, 52, 96), (58, 46, 40)))
    canvas.rect(x, _GROUND - 20, w, 20, colour)
    canvas.rect(x + 1.5, _GROUND - 12, w - 3, 10, (44, 50, 56))
    canvas.rect(x + 1.5, _GROUND - 12, w - 3, 10, (250, 214, 150), 0.35)
    for item in range(int((w - 5) / 2.2)):
        tone = (dice.randint(90, 240), dice.randint(70, 200), dice.randint(60, 180))
        height = dice.uniform(2, 6)
        canvas.rect(x + 2.5 + item * 2.2, _GROUND - 2 - height, 1.6, height, tone)
    canvas.rect(x + w * 0.6, _GROUND - 13, 7, 13, colour)
    canvas.rect(x + w * 0.6 + 1, _GROUND - 12, 5, 8, (120, 150, 168))
    for stripe in range(int(w / 2.5)):
        left = x + stripe * w / int(w / 2.5)
        tint = colour if stripe % 2 else (240, 234, 220)
        foot = [(left + 2.2, _GROUND - 10.5), (left - 0.3, _GROUND - 10.5)]
        canvas.polygon([(left, _GROUND - 14), (left + 2.5, _GROUND - 14), *foot], tint)
    canvas.text(x + w / 2 - len(name) * 2.1, _GROUND - 19.3, name, 0.7, (250, 240, 206))


def _houses(canvas: Canvas, _step: int) -> None:
    """The street's own side: houses to the pavement, then the road."""
    dice, x = Random(12), 4.0
    makers = (_brick_house, _gable, _tower, _gable, _brick_house, _tower)
    for index, (name, w, top) in enumerate(_SHOPS):
        makers[index % 6](canvas, dice, x, top, w)
        canvas.shade(x, top - 2, w, _GROUND - top + 2, 1.1, 0.84)
        canvas.rect(x + w - 0.5, top, 1, _GROUND - top, (40, 36, 40), 0.5)
        _shop(canvas, dice, x, w, name)
        x += w + 0.5 + 22 * (index % 4 == 3)
    for sign, left, top, tint in _ROOF_SIGNS:
        canvas.text(left, top, sign, 1.3, tint)
        canvas.rect(left - 1, top + 9.6, len(sign) * 7.8, 0.6, (50, 50, 56))
        for leg in range(len(sign) * 2):
            canvas.line(
                (left + leg * 3.9, top + 13), (left + leg * 3.9 + 3, top + 9.6), 0.4, (50,) * 3
            )
    for y, h, tone in ((0, 6, 178), (6, 1.2, 214), (7.2, 40, 84)):
        canvas.rect(0, _GROUND + y, 1000, h, (tone, tone, tone + 4))
    for slab in range(160):
        canvas.rect(slab * 5, _GROUND, 0.4, 6, (140, 138, 140))
    grain = canvas.area(0, _GROUND, 1000, 50)
    dots = np.random.default_rng(5).uniform(0.86, 1.14, (97, 353)).astype(np.float32)
    down, across = (np.arange(n) for n in grain.shape[:2])
    gains = dots[down % 97][:, across % 353, None]
    grain[..., :3] = np.minimum(grain[..., :3] * gains, np.float32(255))
    for dash in range(40):
        canvas.rect(dash * 20, 159, 11, 1.3, (226, 222, 206))
    for y in (149, 153.5):
        canvas.rect(0, y, 1000, 0.5, (168, 170, 176))


def _balloon(canvas: Canvas, _step: int) -> None:
    x, y = 60.0, 40.0
    canvas.disc(x, y, 15, 17, (226, 74, 52))
    for ring, tint in ((12, (246, 200, 72)), (8, (226, 74, 52)), (4, (246, 200, 72))):
        canvas.disc(x, y, ring, 17, tint)
    for side in (-9, -3, 3, 9):
        canvas.line((x + side, y + 14), (x + side / 4, y + 25), 0.4, (70, 50, 40))
    canvas.rect(x - 2.5, y + 25, 5, 4, (130, 84, 48))
    for strand in range(3):
        canvas.rect(x - 2.5, y + 25.8 + strand * 1.2, 5, 0.4, (80, 48, 28))


def _birds(canvas: Canvas, step: int) -> None:
    dice, lift = Random(8), (-2.6, -0.6, 1.6, -0.6)[step]
    for bird in range(9):
        x, y = 30 + abs(bird - 4) * 8 + dice.uniform(-2, 2), 40 + (bird - 4) * 3.5
        for wing in (-1, 1):
            elbow = (x + wing * 2.2, y + lift)
            canvas.line((x, y), elbow, 0.9, (36, 38, 48))
            canvas.line(elbow, (x + wing * 4.6, y + lift * 0.4), 0.6, (36, 38, 48))


def _car(canvas: Canvas, x: float, y: float, ahead: int, paint: tuple[int, int, int]) -> None:
    """A car of 27 units round x, its wheels on y, facing right where ``ahead`` is 1."""

    def at(dx: float, up: float) -> tuple[float, float]:
        return x + dx * ahead, y - up

    canvas.disc(x, y, 14.5, 1.2, (20, 20, 24), 0.6)
    dark = (paint[0] * 2 // 3, paint[1] * 2 // 3, paint[2] * 2 // 3)
    canvas.polygon([at(-9, 6), at(-6.5, 10.2), at(3, 10.2), at(7.5, 6)], dark)
    canvas.polygon([at(-7.6, 6.2), at(-5.8, 9.5), at(-1.8, 9.5), at(-1.8, 6.2)], (170, 204, 224))
    canvas.polygon([at(-1, 6.2), at(-1, 9.5), at(2.7, 9.5), at(6, 6.2)], (186, 216, 232))
    canvas.polygon(
        [at(-13, 1.6), at(-13, 5.6), at(-9, 6.4), at(8, 6.4), at(13.2, 4.6), at(13.6, 1.6)], paint
    )
    canvas.line(at(-13, 4.6), at(12, 4.3), 0.4, (255, 255, 255))
    canvas.line(at(-1.4, 2), at(-1.4, 6.2), 0.35, dark)
    canvas.rect(*at(-13 + (ahead < 0), 5.2), 1, 1.4, (200, 30, 30))
    canvas.rect(*at(12 + (ahead < 0), 4.2), 1, 1.2, (255, 246, 200))
    for wheel in (-8, 8):
        canvas.disc(*at(wheel, 2.2), 2.5, 2.5, (24, 24, 28))
        canvas.disc(*at(wheel, 2.2), 1.4, 1.4, (190, 194, 200))
        canvas.disc(*at(wheel, 2.2), 0.5, 0.5, (60, 60, 66))


def _tram(canvas: Canvas, _step: int) -> None:
    x, y, w = 40.0, 130.0, 96.0
    canvas.disc(x + w / 2, y + 23.5, w / 2, 1, (20, 20, 24), 0.6)
    canvas.rect(x, y, w, 22, (206, 48, 44))
    canvas.rect(x, y + 12, w, 3.6, (244, 236, 216))
    canvas.rect(x + 1, y - 1.2, w - 2, 1.4, (90, 92, 98))
    for pane in range(10):
        canvas.rect(x + 2 + pane * 9.4, y + 2, 7.8, 8.5, (58, 82, 104))
        left = x + 2 + pane * 9.4
        canvas.polygon(
            [(left, y + 10.5), (left + 5, y + 2), (left + 7.8, y + 2)], (170, 200, 220), 0.6
        )
    for door in (20.2, 67.2):
        canvas.rect(x + door, y + 1.5, 8.6, 19, (230, 222, 204))
        canvas.rect(x + door + 0.8, y + 2.5, 3, 15, (60, 84, 104))
        canvas.rect(x + door + 4.8, y + 2.5, 3, 15, (60, 84, 104))
    canvas.text(x + 31, y + 12.3, "HARBOUR LINE 7", 0.4, (150, 24, 28))
    for wheel in (12, 20, 76, 84):
        canvas.disc(x + wheel, y + 22, 2.2, 2.2, (40, 40, 46))
        canvas.disc(x + wheel, y + 22, 0.9, 0.9, (150, 150, 156))
    canvas.line((x + 48, y - 1), (x + 56, y - 8), 0.5, (50, 50, 56))
    canvas.line((x + 56, y - 8), (x + 50, y - 14), 0.5, (50, 50, 56))


def _people(canvas: Canvas, step: int) -> None:
    dice, stride = Random(31), (1.6, 0.5, -1.6, -0.5)[step]
    for x in range(20, 520, 42):
        left, foot = x + dice.uniform(-12, 12), 145 + dice.uniform(-1.5, 0.5)
        coat = (dice.randint(40, 230), dice.randint(40, 190), dice.randint(50, 190))
        for leg in (-stride, stride):
            canvas.line((left, foot - 5), (left + leg, foot), 0.9, (44, 46, 62))
        canvas.rect(left - 1.2, foot - 9, 2.4, 4.4, coat)
        canvas.line((left, foot - 8.4), (left - stride, foot - 5), 0.7, coat)
        canvas.disc(left, foot - 10.3, 1.1, 1.3, (214, 166, 136))
        canvas.rect(left - 1.1, foot - 11.8, 2.2, 1, (62, 44, 34))


def _traffic_left(canvas: Canvas, _step: int) -> None:
    for x, tint in ((40, (58, 110, 176)), (150, (232, 228, 220)), (232, (60, 64, 72))):
        _car(canvas, x, 158, -1, tint)


def _traffic_right(canvas: Canvas, _step: int) -> None:
    for x, tint in ((70, (236, 178, 40)), (118, (168, 36, 44)), (300, (70, 130, 96))):
        _car(canvas, x, 167, 1, tint)


def _tree(canvas: Canvas, dice: Random, x: float, crown: float) -> None:
    bark = (74, 58, 46)
    canvas.polygon([(x - 2, 174), (x + 2, 174), (x + 1, crown), (x - 1, crown)], bark)
    for limb in range(9):
        reach = dice.uniform(-18, 18)
        foot = (x, crown + 12 - abs(reach) * 0.2)
        canvas.line(foot, (x + reach, crown - dice.uniform(2, 16)), 0.9, bark)
    clumps = [(x + dice.gauss(0, 10), crown - 8 + dice.gauss(0, 8)) for _ in range(12)]
    for depth in range(3):
        for leaf in range(250):
            cx, cy = clumps[leaf % 12]
            dx, dy = dice.gauss(0, 4.2), dice.gauss(0, 3.4)
            light = 0.55 + 0.2 * depth - 0.035 * dy + dice.uniform(-0.1, 0.1)
            tint = (int(92 * light), int(142 * light), int(52 * light))
            size = dice.uniform(0.6, 1.3)
            canvas.disc(cx + dx, cy + dy - depth, size * 1.3, size, tint)


def _front(canvas: Canvas, _step: int) -> None:
    """The near kerb: trees, lamps, their wires, a railing."""
    dice = Random(21)
    for lamp in range(0, 640, 128):
        canvas.rect(lamp + 60, 70, 1.4, 104, (44, 50, 54))
        canvas.line((lamp + 61, 72), (lamp + 72, 68), 0.9, (44, 50, 54))
        canvas.polygon([(lamp + 68, 68), (lamp + 76, 67), (lamp + 74, 70)], (240, 234, 210))
        for wire, drop in ((74, 9), (77, 12)):
            sag = [(lamp + 61 + k * 4, wire + drop * (1 - (k / 16 - 1) ** 2)) for k in range(33)]
            for here, there in pairwise(sag):
                canvas.line(here, there, 0.35, (40, 42, 48))
                canvas.line(
                    (here[0] - 640, here[1]), (there[0] - 640, there[1]), 0.35, (40, 42, 48)
                )
    for x, crown in ((20, 118), (165, 126), (260, 112), (400, 124), (520, 116)):
        _tree(canvas, dice, x, crown)
    for bar in range(160):
        canvas.rect(bar * 4, 171, 0.6, 9, (206, 212, 208))
    for y in (170, 177.5):
        canvas.rect(0, y, 640, 0.9, (206, 212, 208))
    canvas.rect(0, 171, 640, 0.5, (90, 100, 98))


_GROUND = 140  # where the houses meet the pavement
_SHOPS = (  # name, the house's width and roof
    ("CAFE PIXEL", 58, 64),
    ("BOOKS", 44, 72),
    ("OPTIK", 40, 30),
    ("BAKERY", 50, 82),
    ("TEA AND JAM", 62, 56),
    ("HOTEL", 46, 24),
    ("FLORIST", 54, 70),
    ("RADIO", 48, 78),
    ("MUSEUM", 52, 40),
    ("CHEESE", 46, 66),
    ("HATS AND MAPS", 74, 60),
    ("BANK", 42, 34),
    ("ATELIER", 52, 74),
    ("PHARMACY", 58, 68),
)
_ROOF_SIGNS = (("LUMEN", 10, 50, (250, 206, 96)), ("KINO", 208, 42, (240, 90, 80)))
_WORLD = (  # from the back to the front
    _Band(_sky, 480, 0, 182, 6.25, opaque=True),
    _Band(_balloon, 700, 20, 72, 12.5, start=-160),
    _Band(_far, 640, 42, 150, 12.5),
    _Band(_birds, 520, 16, 64, -18.75, start=-60, steps=4, steps_s=8),
    _Band(_houses, 800, 0, 180, 25),
    _Band(_people, 520, 130, 148, 31.25, steps=4, steps_s=7),
    _Band(_tram, 700, 110, 156, -12.5, start=-40),
    _Band(_traffic_left, 330, 142, 162, 56.25),
    _Band(_traffic_right, 440, 150, 172, -37.5),
    _Band(_front, 640, 60, 182, 43.75),
)
