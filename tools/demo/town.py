"""The demo's town: what its world is made of, and how fast each part of it goes by."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
from demo.canvas import Canvas, noise
from demo.houses import (
    CREAM,
    GROUND,
    INK,
    IRON,
    STEEL,
    WHITE,
    brick_house,
    gable,
    shop,
    tower,
)

__all__ = ["LOOP_S", "WORLD", "Band"]

LOOP_S = 32
"""After which everything stands where it began."""

_LEAVES = (0x2E4A1C, 0x3C5E22, 0x4C7829, 0x5E9433, 0x74AC40, 0x92C25A)  # dark to light


@dataclass(frozen=True, slots=True)
class Band:
    """A part of the world that moves as one, in pixels and seconds.

    In ``LOOP_S`` it goes by a whole number of times, and through its steps as often.
    """

    draw: Callable[[Canvas, int], None]  # the canvas, and which of the steps to draw
    width: int  # after which it repeats
    top: int
    bottom: int
    speed: float  # to the left
    start: float = 0
    steps: int = 1  # of what moves in itself, shown one after the other
    steps_s: float = 1  # how many of them a second

    def canvases(self) -> list[Canvas]:
        canvases = [Canvas(self.width, self.top, self.bottom) for _ in range(self.steps)]
        for step, canvas in enumerate(canvases):
            self.draw(canvas, step)
        return canvases


def _sky(canvas: Canvas, _step: int) -> None:
    height, width = canvas.pixels.shape[:2]
    clouds = np.zeros((height, width), np.float32)
    for rows, columns, part in ((5, 6, 0.5), (10, 14, 0.27), (21, 33, 0.13), (45, 80, 0.07)):
        clouds += noise((height, width), (rows, columns), 40 + rows) * np.float32(part)
    above = clouds[np.maximum(np.arange(height) - height // 25, 0)]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    cover = np.clip((clouds - 0.455) * 7, 0, 1) * (1 - 0.6 * down)
    light = np.clip(0.72 + (clouds - above) * 3, 0, 1)
    for index, (high, low, shade) in enumerate(((58, 246, 150), (118, 214, 158), (192, 178, 178))):
        blue = high + (low - high) * down**1.4
        white = shade + (255 - 4 * index - shade) * light
        canvas.pixels[..., index] = blue + (white - blue) * cover
    canvas.pixels[..., 3] = 255


def _balloon(canvas: Canvas, _step: int) -> None:
    x, y = 60, 40
    for half, tint in ((15, 0xE24A34), (12, 0xF6C848), (8, 0xE24A34), (4, 0xF6C848)):
        canvas.disc(x, y, half, 17, tint)
    for side in (-9, -3, 3, 9):
        canvas.line((x + side, y + 14), (x + side / 4, y + 25), 0.4, 0x463228)
    canvas.rect(x - 2.5, y + 25, 5, 4, 0x825430)
    canvas.bars(x - 2.5, y + 25.8, 5, 0.4, 0x50301C, 3, 0, 1.2)


def _far(canvas: Canvas, _step: int) -> None:
    """Hills, a hazy skyline, a suspension bridge."""
    dice, x = Random(3), 0.0
    for turn in np.arange(0, 2 * np.pi, np.pi / 160):
        top = 92 - 9 * np.sin(turn) - 5 * np.sin(3 * turn + 1) - 1.5 * np.sin(17 * turn)
        canvas.rect(turn / np.pi * 300, top, 2, 60, 0x92A6BA)
    while x < 582:
        w, top = dice.uniform(7, 18), dice.uniform(62, 104)
        _office(canvas, dice, x, top, w)
        x += w + dice.choice((0, 0, 1, 6))
    _bridge(canvas, 230, 330, 0x964A42)


def _office(canvas: Canvas, dice: Random, x: float, top: float, w: float) -> None:
    wall, glass = dice.choice(((0x8895A4, 0x6E7F92), (0x96A2B0, 0x7A8A9E), (0x9EABB8, 0x8494A8)))
    canvas.rect(x, top, w, 150 - top, wall)
    canvas.rect(x + w / 3, top - 3, w / 3, 3, wall)
    canvas.rect(x + w / 2, top - dice.choice((3, 14)), 0.5, 14, wall)
    for row in np.arange(top + 1.5, 139, 2.5):
        canvas.bars(x + 1, row, 0.7, 1.3, glass, int(w / 1.5) - 1, 1.5, 0)


def _bridge(canvas: Canvas, first: float, second: float, paint: int) -> None:
    for pylon in (first, second):
        canvas.bars(pylon - 3, 58, 1.6, 90, paint, 2, 5, 0)
        for y in range(60, 120, 8):
            canvas.line((pylon - 3, y), (pylon + 3, y + 8), 0.6, paint)
            canvas.line((pylon + 3, y), (pylon - 3, y + 8), 0.6, paint)
    span = second - first
    offsets = np.linspace(-span, span, 101)
    cable = [
        ((first + second) / 2 + d, 61 + 50 * (1 - abs(abs(d) / span * 2 - 1)) ** 2) for d in offsets
    ]
    for here, there in pairwise(cable):
        canvas.line(here, there, 0.7, paint)
        canvas.rect(*here, 0.3, 114 - here[1], paint)
    canvas.rect(first - span / 2, 113, 2 * span, 2.5, paint)


def _birds(canvas: Canvas, step: int) -> None:
    dice, lift = Random(8), (-2.8, -1.2, 1.6, -1.2)[step]
    for bird in range(9):
        x, y = 30 + abs(bird - 4) * 8 + dice.uniform(-2, 2), 40 + (bird - 4) * 3.5
        for wing in (-1, 1):
            canvas.line((x, y), (x + wing * 2.2, y + lift), 0.9, IRON)
            canvas.line((x + wing * 2.2, y + lift), (x + wing * 4.6, y + lift * 0.4), 0.6, IRON)


def _houses(canvas: Canvas, _step: int) -> None:
    """The houses, each with a shop, the pavement before them, the road."""
    dice, x = Random(12), 4.0
    makers = (brick_house, gable, tower, gable, brick_house, tower)
    for index, (name, w, top) in enumerate(_SHOPS):
        makers[index % 6](canvas, dice, x, top, w)
        canvas.shade(x, top - 2, w, GROUND - top + 2, 1.1, 0.84)
        canvas.rect(x + w - 0.5, top, 1, GROUND - top, INK, 0.5)
        shop(canvas, dice, x, w, name)
        x += w + 0.5 + 22 * (index % 4 == 3)
    for sign, left, top, tint in (("LUMEN", 10, 50, 0xFACE60), ("KINO", 230, 42, 0xF05A50)):
        canvas.text(left, top, sign, 1.3, tint)
        canvas.rect(left - 1, top + 9.6, len(sign) * 7.8, 0.6, IRON)
        for leg in range(len(sign) * 2):
            foot = (left + leg * 3.9, top + 13)
            canvas.line(foot, (foot[0] + 3, top + 9.6), 0.4, IRON)
    _road(canvas)


def _road(canvas: Canvas) -> None:
    for y, h, tone in ((0, 6, 0xB2B2B6), (6, 1.2, 0xD6D6DA), (7.2, 40, 0x545458)):
        canvas.rect(0, GROUND + y, 1000, h, tone)
    canvas.bars(0, GROUND, 0.4, 6, 0x8C8A8C, 160, 5, 0)
    road = canvas.area(0, GROUND, 1000, 50)
    grain = np.random.default_rng(5).uniform(0.86, 1.14, (97, 353)).astype(np.float32)
    down, across = (np.arange(n) % m for n, m in zip(road.shape, grain.shape, strict=False))
    road[..., :3] = np.minimum(road[..., :3] * grain[down][:, across, None], np.float32(255))
    canvas.bars(0, 159, 11, 1.3, 0xE2DECE, 40, 20, 0)
    canvas.bars(0, 149, 1000, 0.5, 0xA8AAB0, 2, 0, 4.5)


def _people(canvas: Canvas, step: int) -> None:
    dice, stride = Random(31), (1.6, 0.5, -1.6, -0.5)[step]
    for x in range(20, 500, 40):
        left, foot = x + dice.uniform(-12, 12), 145 + dice.uniform(-1.5, 0.5)
        coat = dice.choice((0xC8503C, 0x3C6E96, 0xE0B450, 0x5A3C6E, 0x46785A, 0xD8D0C0))
        for leg in (-stride, stride):
            canvas.line((left, foot - 5), (left + leg, foot), 0.9, 0x2C2E3E)
        canvas.rect(left - 1.2, foot - 9, 2.4, 4.4, coat)
        canvas.line((left, foot - 8.4), (left - stride, foot - 5), 0.7, coat)
        canvas.disc(left, foot - 10.3, 1.1, 1.3, 0xD6A688)
        canvas.rect(left - 1.1, foot - 11.8, 2.2, 1, 0x3E2C22)


def _tram(canvas: Canvas, _step: int) -> None:
    x, y, w = 40, 130, 96
    canvas.disc(x + w / 2, y + 23.5, w / 2, 1, INK, 0.6)
    canvas.rect(x, y, w, 22, 0xCE302C)
    canvas.rect(x, y + 12, w, 3.6, CREAM)
    canvas.rect(x + 1, y - 1.2, w - 2, 1.4, 0x5A5C62)
    for left in np.arange(x + 2, x + w - 8, 9.4):
        canvas.rect(left, y + 2, 7.8, 8.5, 0x3A5268)
        canvas.polygon([(left, y + 10.5), (left + 5, y + 2), (left + 7.8, y + 2)], 0xAAC8DC, 0.6)
    canvas.bars(x + 20.2, y + 1.5, 8.6, 19, CREAM, 2, 47, 0)
    for door in (21, 68):
        canvas.bars(x + door, y + 2.5, 3, 15, 0x3C5468, 2, 4, 0)
    canvas.text(x + 31, y + 12.3, "HARBOUR LINE 7", 0.4, 0x96181C)
    for wheel in (12, 20, 76, 84):
        canvas.disc(x + wheel, y + 22, 2.2, 2.2, IRON)
        canvas.disc(x + wheel, y + 22, 0.9, 0.9, STEEL)
    for here, there in pairwise([(x + 48, y - 1), (x + 56, y - 8), (x + 50, y - 14)]):
        canvas.line(here, there, 0.5, IRON)


def _leftward(canvas: Canvas, _step: int) -> None:
    for x, paint in ((40, 0x3A6EB0), (150, 0xE8E4DC), (232, 0x3C4048)):
        _car(canvas, x, 158, -1, paint)


def _rightward(canvas: Canvas, _step: int) -> None:
    for x, paint in ((70, 0xECB228), (118, 0xA8242C), (300, 0x468260)):
        _car(canvas, x, 167, 1, paint)


def _car(canvas: Canvas, x: float, y: float, ahead: int, paint: int) -> None:
    """A car of 27 units round x, its wheels on y, facing right where ``ahead`` is 1."""

    def at(dx: float, up: float) -> tuple[float, float]:
        return x + dx * ahead, y - up

    roof = [at(-9, 6), at(-6.5, 10.2), at(3, 10.2), at(7.5, 6)]
    sides = [at(-13, 1.6), at(-13, 5.6), at(-9, 6.4), at(8, 6.4), at(13.2, 4.6), at(13.6, 1.6)]
    canvas.disc(x, y, 14.5, 1.2, INK, 0.6)
    canvas.polygon(roof, paint)
    canvas.polygon(roof, INK, 0.35)
    canvas.polygon([at(-7.6, 6.2), at(-5.8, 9.5), at(-1.8, 9.5), at(-1.8, 6.2)], 0xAACCE0)
    canvas.polygon([at(-1, 6.2), at(-1, 9.5), at(2.7, 9.5), at(6, 6.2)], 0xBAD8E8)
    canvas.polygon(sides, paint)
    canvas.line(at(-13, 4.6), at(12, 4.3), 0.4, WHITE)
    canvas.line(at(-1.4, 2), at(-1.4, 6.2), 0.35, INK)
    canvas.line(at(-12.5, 5.2), at(-12.5, 3.8), 1, 0xC81E1E)
    canvas.line(at(12.5, 4.4), at(12.5, 3.2), 1, 0xFFF6C8)
    for wheel in (x - 8, x + 8):
        for radius, tint in ((2.5, INK), (1.4, STEEL), (0.5, IRON)):
            canvas.disc(wheel, y - 2.2, radius, radius, tint)


def _front(canvas: Canvas, _step: int) -> None:
    """The near kerb: trees, lamps, their wires, a railing."""
    for lamp in range(-68, 700, 140):
        canvas.rect(lamp, 70, 1.4, 104, IRON)
        canvas.line((lamp + 1, 72), (lamp + 12, 68), 0.9, IRON)
        canvas.polygon([(lamp + 8, 68), (lamp + 16, 67), (lamp + 14, 70)], 0xF0EAD2)
        for wire, drop in ((74, 9), (77, 12)):
            sag = [(lamp + 1 + k * 4.375, wire + drop * (1 - (k / 16 - 1) ** 2)) for k in range(33)]
            for here, there in pairwise(sag):
                canvas.line(here, there, 0.35, IRON)
    for x, crown in ((20, 118), (165, 126), (260, 112), (400, 124), (520, 116)):
        _tree(canvas, Random(x), x, crown)
    canvas.bars(0, 171, 0.6, 9, STEEL, 175, 4, 0)
    canvas.bars(0, 170, 700, 0.9, STEEL, 2, 0, 7.5)
    canvas.rect(0, 171, 700, 0.5, 0x5A6462)


def _tree(canvas: Canvas, dice: Random, x: float, crown: float) -> None:
    canvas.polygon([(x - 2, 174), (x + 2, 174), (x + 1, crown), (x - 1, crown)], 0x4A3A2E)
    for _ in range(9):
        reach = dice.uniform(-18, 18)
        foot = (x, crown + 12 - abs(reach) * 0.2)
        canvas.line(foot, (x + reach, crown - dice.uniform(2, 16)), 0.9, 0x4A3A2E)
    clumps = [(x + dice.gauss(0, 9), crown - 8 + dice.gauss(0, 8)) for _ in range(12)]
    for leaf in range(750):
        dx, dy, size = dice.gauss(0, 4.2), dice.gauss(0, 3.4), dice.uniform(0.6, 1.3)
        light = leaf / 250 - dy / 4 + dice.uniform(0, 1.6)  # the later ones are nearer
        middle = clumps[leaf % 12]
        tint = _LEAVES[min(max(int(light), 0), 5)]
        canvas.disc(middle[0] + dx, middle[1] + dy, size * 1.3, size, tint)


_SHOPS = (  # name, the house's width and roof
    *(("CAFE PIXEL", 58.0, 64.0), ("BOOKS", 44.0, 72.0), ("OPTIK", 40.0, 30.0)),
    *(("BAKERY", 50.0, 82.0), ("TEA AND JAM", 62.0, 56.0), ("HOTEL", 46.0, 24.0)),
    *(("FLORIST", 54.0, 70.0), ("RADIO", 48.0, 78.0), ("MUSEUM", 52.0, 40.0)),
    *(("CHEESE", 46.0, 66.0), ("HATS AND MAPS", 74.0, 60.0), ("BANK", 42.0, 34.0)),
    *(("ATELIER", 52.0, 74.0), ("PHARMACY", 58.0, 68.0)),
)
WORLD = (  # from the back to the front
    Band(_sky, 400, 0, 180, 12.5),
    Band(_balloon, 400, 20, 72, 12.5, start=-160),
    Band(_far, 600, 42, 150, 18.75),
    Band(_birds, 600, 16, 64, -18.75, start=-40, steps=4, steps_s=8),
    Band(_houses, 800, 0, 180, 25),
    Band(_people, 500, 130, 148, 31.25, steps=4, steps_s=7),
    Band(_tram, 400, 110, 156, -12.5, start=-40),
    Band(_leftward, 360, 142, 162, 56.25),
    Band(_rightward, 400, 150, 172, -37.5),
    Band(_front, 700, 60, 180, 43.75),
)
