"""The houses of the demo's town, each drawn on a canvas at its place, in a frame's pixels."""

from itertools import product
from random import Random

import numpy as np
from demo.canvas import Canvas
from numpy.typing import NDArray

__all__ = [
    "CREAM",
    "GROUND",
    "INK",
    "IRON",
    "STEEL",
    "WHITE",
    "brick_house",
    "gable",
    "shop",
    "tower",
]

GROUND = 140.0  # where the houses meet the pavement, in units from the top
WHITE, CREAM, STEEL, IRON, INK = 0xFFFFFF, 0xECE6D8, 0xCED4D0, 0x2C3236, 0x1E1E22


def brick_house(canvas: Canvas, dice: Random, x: float, top: float, w: float) -> None:
    """Brick with a cornice and a fire escape."""
    canvas.rect(x, top, w, GROUND - top, dice.choice((0x964A38, 0xA66246, 0x80423E)))
    _bricks(canvas.area(x, top, w, GROUND - top), GROUND - top, dice.randrange(99))
    columns, rows = int(w // 9), int((GROUND - 22 - top) // 13)
    for row, column in product(range(rows), range(columns)):
        left = x + (column + 0.5) * w / columns - 2.2
        _window(canvas, dice, left, top + 7 + row * 13, 4.4, 7.5)
    canvas.rect(x - 1, top - 1, w + 2, 3, 0xCEBEA6)
    canvas.bars(x, top + 2, 1, 1.2, 0xBAA890, int(w / 2), 2, 0)
    middle = x + columns // 2 * w / columns
    for row in range(rows - 1):
        y, side = top + 15.5 + row * 13, 6 if row % 2 else -6
        canvas.line((middle - side, y), (middle + side, y + 13), 1, INK)
        canvas.line((middle - side, y - 2.5), (middle + side, y + 10.5), 0.4, INK)
        canvas.rect(middle - 8, y, 16, 1, INK)
        canvas.bars(middle - 8, y - 3.5, 0.4, 3.5, INK, 12, 1.4, 0)


def _bricks(wall: NDArray[np.uint8], height: float, seed: int) -> None:
    """Turn a wall, ``height`` units high, into courses in running bond."""
    unit = len(wall) / height
    rows, places = np.arange(len(wall))[:, None] / unit / 1.5, np.arange(wall.shape[1]) / unit / 3.5
    places = places + rows.astype(int) % 2 / 2
    tones = np.random.default_rng(seed).uniform(0.8, 1.1, (97, 89)).astype(np.float32)
    gains = tones[rows.astype(int) % 97, places.astype(int) % 89]
    gains[(rows % 1 < 0.22) | (places % 1 < 0.1)] = 1.3
    wall[..., :3] = np.minimum(wall[..., :3] * gains[..., None], np.float32(255))


def tower(canvas: Canvas, dice: Random, x: float, top: float, w: float) -> None:
    """Glass that mirrors the sky, a mast."""
    height = GROUND - top
    canvas.rect(x, top, w, height, dice.choice((0x46708C, 0x547880, 0x425C84)))
    columns, rows = int(w / 3.2), int(height / 4.5)
    for row, column in product(range(rows), range(columns)):
        mirror = 0.62 * (1 - row / rows) + 0.22 * np.sin(column * 0.5 + row * 0.22 + x)
        pane = (x + column * w / columns, top + row * 4.5, w / columns, 4.5)
        canvas.rect(*pane, 0xC4DEF0, float(np.clip(mirror, 0, 0.8)))
        if dice.random() < 0.05:
            canvas.rect(*pane, 0xFADE96, 0.7)
    canvas.bars(x, top, w, 0.5, 0x323E4C, rows + 1, 0, 4.5)
    canvas.bars(x - 0.2, top, 0.5, height, 0xCED6DC, columns + 1, w / columns, 0)
    canvas.rect(x + w / 2, top - 22, 0.8, 22, 0x464A52)
    canvas.bars(x + w / 2 - 2, top - 3, 5, 0.4, 0x464A52, 6, 0, -3)
    for side in (-2.5, 3.3):
        canvas.line((x + w / 2 + side, top), (x + w / 2 + 0.4, top - 20), 0.4, 0x464A52)


def gable(canvas: Canvas, dice: Random, x: float, top: float, w: float) -> None:
    """Coloured plaster, shutters, balconies, a tiled roof."""
    wall = dice.choice((0xE8C47A, 0xD69278, 0x96BAAA, 0xDED6C4))
    shutter = dice.choice((0x345C52, 0x3C547A, 0x763430))
    canvas.rect(x, top, w, GROUND - top, wall)
    canvas.polygon([(x - 2, top), (x + w + 2, top), (x + w * 0.5, top - 20)], 0x9E4C38)
    for row in range(14):
        canvas.rect(x - 1 + row * w / 28, top - row * 1.43, w + 2 - row * w / 14, 0.4, 0x682C26)
    canvas.rect(x + w * 0.72, top - 19, 4, 12, 0x8E5444)
    canvas.disc(x + w / 2, top - 7, 3, 3, CREAM)
    canvas.disc(x + w / 2, top - 7, 2.3, 2.3, 0x283446)
    columns, rows = int(w // 12), int((GROUND - 20 - top) // 15)
    for row, column in product(range(rows), range(columns)):
        left, y = x + (column + 0.5) * w / columns - 2.2, top + 4 + row * 15
        _window(canvas, dice, left, y, 4.4, 8.5)
        canvas.bars(left - 2.8, y, 2.2, 8.5, shutter, 2, 7.8, 0)
        canvas.bars(left - 2.6, y + 0.6, 1.8, 0.3, wall, 8, 0, 1)
        canvas.bars(left + 5.2, y + 0.6, 1.8, 0.3, wall, 8, 0, 1)
        if (row + column) % 2:
            canvas.bars(left - 3, y + 4.5, 10.4, 0.6, IRON, 2, 0, 4.1)
            canvas.bars(left - 3, y + 4.8, 0.35, 4, IRON, 9, 1.25, 0)


def _window(canvas: Canvas, dice: Random, x: float, y: float, w: float, h: float) -> None:
    canvas.rect(x - 0.5, y - 0.5, w + 1, h + 1, CREAM)
    canvas.rect(x, y, w, h, dice.choice((0x263446, 0x34465C, 0x1E2632, 0xD6B068)))
    canvas.polygon([(x, y), (x + w * 0.8, y), (x, y + h * 0.6)], 0x96B8D6, 0.45)
    if dice.random() < 0.4:
        canvas.rect(x, y, w * 0.3, h, 0xE2D6C4, 0.7)
    canvas.rect(x + w / 2 - 0.2, y, 0.4, h, CREAM)
    canvas.rect(x, y + h * 0.38, w, 0.4, CREAM)
    canvas.rect(x - 0.9, y + h + 0.5, w + 1.8, 0.7, 0xBEB6A8)
    canvas.rect(x - 0.5, y + h + 1.2, w + 1, 0.6, INK, 0.35)


def shop(canvas: Canvas, dice: Random, x: float, w: float, name: str) -> None:
    """A ground floor: a lettered board, a striped awning, goods behind glass, a door."""
    colour = dice.choice((0x224E48, 0x7A2228, 0x1E3460, 0x3A2E28))
    canvas.rect(x, GROUND - 20, w, 20, colour)
    canvas.rect(x + 1.5, GROUND - 12, w - 3, 10, 0x746854)
    for item in np.arange(x + 2.5, x + w - 3, 2.2):
        height = dice.uniform(2, 6)
        goods = dice.choice((0xE07A5F, 0xF2CC8F, 0x81B29A, 0xC85C8E, 0x8E7CC3, 0xD9D4C7))
        canvas.rect(item, GROUND - 2 - height, 1.6, height, goods)
    canvas.rect(x + w * 0.6, GROUND - 13, 7, 13, colour)
    canvas.rect(x + w * 0.6 + 1, GROUND - 12, 5, 8, 0x7896A8)
    stripe = w / round(w / 5) / 2
    for left in np.arange(x, x + w - 0.1, 2 * stripe):
        for side, tint in ((left, CREAM), (left + stripe, colour)):
            foot = [(side + stripe - 0.3, GROUND - 10.5), (side - 0.3, GROUND - 10.5)]
            canvas.polygon([(side, GROUND - 14), (side + stripe, GROUND - 14), *foot], tint)
    canvas.text(x + w / 2 - len(name) * 2.1, GROUND - 19.3, name, 0.7, 0xFAF0CE)
