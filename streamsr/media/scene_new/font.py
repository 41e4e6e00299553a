"""The built-in scene's own pixel font: capitals and digits, seven rows high."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROWS", "glyph", "text_mask"]

ROWS = 7

# A character's rows from the top; its leftmost pixel is the highest bit of five, or of two for the
# narrow ones. Digits differ from each other in many pixels, since the counter is read by machines.
_WIDE = {
    "0": "0E 11 13 15 19 11 0E",
    "1": "04 0C 14 04 04 04 1F",
    "2": "0E 11 01 06 08 10 1F",
    "3": "1F 01 02 06 01 11 0E",
    "4": "02 06 0A 12 1F 02 02",
    "5": "1F 10 1E 01 01 11 0E",
    "6": "06 08 10 1E 11 11 0E",
    "7": "1F 01 02 04 08 08 08",
    "8": "0E 11 11 0E 11 11 0E",
    "9": "0E 11 11 0F 01 02 0C",
    "A": "04 0A 11 11 1F 11 11",
    "B": "1E 11 11 1E 11 11 1E",
    "C": "0E 11 10 10 10 11 0E",
    "D": "1C 12 11 11 11 12 1C",
    "E": "1F 10 10 1E 10 10 1F",
    "F": "1F 10 10 1E 10 10 10",
    "G": "0E 11 10 17 11 11 0F",
    "H": "11 11 11 1F 11 11 11",
    "I": "0E 04 04 04 04 04 0E",
    "J": "07 02 02 02 02 12 0C",
    "K": "11 12 14 18 14 12 11",
    "L": "10 10 10 10 10 10 1F",
    "M": "11 1B 15 15 11 11 11",
    "N": "11 19 19 15 13 13 11",
    "O": "0E 11 11 11 11 11 0E",
    "P": "1E 11 11 1E 10 10 10",
    "Q": "0E 11 11 11 15 12 0D",
    "R": "1E 11 11 1E 14 12 11",
    "S": "0F 10 10 0E 01 01 1E",
    "T": "1F 04 04 04 04 04 04",
    "U": "11 11 11 11 11 11 0E",
    "V": "11 11 11 0A 0A 0A 04",
    "W": "11 11 11 15 15 1B 11",
    "X": "11 0A 0A 04 0A 0A 11",
    "Y": "11 11 0A 04 04 04 04",
    "Z": "1F 01 02 04 08 10 1F",
}
_NARROW = {
    ":": "0 3 3 0 3 3 0",
    ".": "0 0 0 0 0 3 3",
    " ": "0 0 0 0 0 0 0",
}


@lru_cache(maxsize=64)
def glyph(character: str) -> NDArray[np.bool_]:
    """The pixels of a character, (7, 5) or (7, 2). Raises KeyError where the font has none."""
    wide = character not in _NARROW
    rows = (_WIDE if wide else _NARROW)[character].split()
    bits = range(4, -1, -1) if wide else (1, 0)
    return np.array([[int(row, 16) >> bit & 1 for bit in bits] for row in rows], dtype=np.bool_)


def text_mask(text: str, scale: int = 1) -> NDArray[np.bool_]:
    """A line of text, one column between characters, each pixel ``scale`` x ``scale``."""
    gap = np.zeros((ROWS, 1), dtype=np.bool_)
    parts = [part for character in text for part in (glyph(character), gap)]
    return np.concatenate(parts[:-1], axis=1).repeat(scale, axis=0).repeat(scale, axis=1)
