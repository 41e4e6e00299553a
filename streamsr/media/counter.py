"""The counter and the clock that are drawn on the built-in scene."""

import numpy as np
from numpy.typing import NDArray

from streamsr.core.frame import Plane

__all__ = ["CELL", "DIGITS", "LEFT", "PAD", "bitmap", "burn_in"]

DIGITS = 8
"""How many characters fit on a line."""

CELL = 7  # dots a character takes, either way, the gap to its right included
_FONT = """
    0 1e33333333331e 1 0c1c0c0c0c0c1e 2 1e3303060c183f 3 1e33030e03331e 4 060e1e363f0606
    5 3f303e0303331e 6 1e30303e33331e 7 3f03060c0c1818 8 1e33331e33331e 9 1e33331f03031e
    : 000c0c000c0c00 . 00000000000c0c
"""
"""Seven rows of six dots a character, each row two hexadecimal digits."""
_DOTS = _FONT.split()
_ROWS = dict(zip(_DOTS[::2], map(bytes.fromhex, _DOTS[1::2]), strict=True)) | {" ": bytes(7)}


def bitmap(text: str) -> NDArray[np.bool_]:
    """Returns the dots of a line of text, (7, 7 * len(text)); each seventh column is empty."""
    rows = np.frombuffer(b"".join(_ROWS[c] for c in text), np.uint8).reshape(-1, CELL).T
    bits = rows[..., None] << 1 >> np.arange(CELL - 1, -1, -1, dtype=np.uint8) & 1
    return bits.reshape(CELL, -1).astype(bool)


# The counter's box, in dots: a dot is a pixel up to 359 lines, two from there on, and so on.
_LINES_A_DOT = 180
LEFT, PAD = 4, 3  # from the frame's corner to the box, from its edge to the characters
_BOX = np.full((2 * CELL + 2 + 2 * PAD, CELL * DIGITS + 10 + 2 * PAD), 16, np.uint8)
_LAMP = (slice(PAD, -PAD), slice(-PAD - 8, -PAD))


def burn_in(planes: tuple[Plane, Plane, Plane], lines: tuple[str, str], glow: float) -> None:
    """Writes two lines of up to DIGITS characters on black, and a lamp ``glow`` (0..1) bright.

    ``planes`` are those of 4:2:0; what has no room is cut off.
    """
    dot = max(planes[0].shape[0] // _LINES_A_DOT, 1)
    box = _BOX.copy()
    for row, line in zip((PAD, PAD + CELL + 2), lines, strict=True):
        box[row : row + CELL, PAD : PAD + CELL * DIGITS][bitmap(line.ljust(DIGITS))] = 235
    box[_LAMP] = round(16 + 219 * glow)
    box = box.repeat(dot, 0).repeat(dot, 1)
    for plane, size in zip(planes, (1, 2, 2), strict=True):
        rows, columns = (slice(LEFT * dot // size, (LEFT * dot + n) // size) for n in box.shape)
        target = plane[rows, columns]
        target[...] = box[: target.shape[0], : target.shape[1]] if size == 1 else 128
