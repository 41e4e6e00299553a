"""Rates of frames, as people write them."""

import math
from fractions import Fraction

__all__ = ["exact_rate"]

NTSC = frozenset({24, 30, 48, 60, 120})  # times 1000/1001
LOWEST_RATE, HIGHEST_RATE = Fraction(1, 100), 240  # frames a second


def exact_rate(text: str) -> Fraction:
    """Returns a rate of frames: "25", "24000/1001", or "23.976", which is the same.

    Raises ValueError.
    """
    try:
        rate = Fraction(text).limit_denominator(100_000)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError("allowed is a number from 0.01 to 240, or a fraction, as in 24000/1001")
    ntsc = Fraction(math.ceil(rate) * 1000, 1001)
    digits = len(text.partition(".")[2])
    is_ntsc = digits >= 2 and ntsc * 1001 / 1000 in NTSC and round(ntsc, digits) == rate
    return ntsc if is_ntsc else rate
