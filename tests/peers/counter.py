"""The reader of the counter that is drawn on the built-in scene."""

import numpy as np

from streamsr.core.frame import Plane
from streamsr.sources.demo import CELL, DIGITS, LEFT, PAD, bitmap

__all__ = ["read_counter"]

READABLE = "0123456789 "
TEMPLATES = bitmap(READABLE).reshape(CELL, -1, CELL).swapaxes(0, 1).astype(np.float32)


def read_counter(luma: Plane) -> int | None:
    """Returns the number burnt into a frame of the scene, or into one enlarged by a whole factor.

    ``luma`` is (h, w) uint8 of limited range. None where no counter is legible.
    """
    best, allowed = None, 0.3  # the share of a character's dots that may be wrong
    for dot in range(1, min(luma.shape[0] // 26, luma.shape[1] // 76) + 1):
        height, width = PAD + CELL, PAD + CELL * DIGITS
        box = luma[LEFT * dot :, LEFT * dot :][: height * dot, : width * dot]
        dots = (box.reshape(height, dot, width, dot).mean((1, 3)) - 16) / 219
        edge = max(dots[: PAD - 1].mean(), dots[:, : PAD - 1].mean())
        cells = dots[PAD:, PAD:].reshape(CELL, DIGITS, CELL).swapaxes(0, 1)
        wrong = np.abs(cells[:, None] - TEMPLATES).mean((2, 3))
        text = "".join(READABLE[k] for k in wrong.argmin(1)).rstrip()
        worst = max(float(wrong.min(1).max()), float(edge))
        if worst < allowed and len(text) >= 6 and text.isdigit():
            best, allowed = int(text), worst
    return best
