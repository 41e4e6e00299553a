"""Which size a result has, as the user names it: a box to fit into, lines, or a scale.

Pure arithmetic: the aspect ratio in pixels is kept, so that the pixel aspect is, too.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor
from typing import Self

from streamsr.core.errors import ConfigError, nearest

__all__ = ["MAX_SCALE", "MIN_SCALE", "TargetSize"]

BOXES = {"720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
MIN_SIDE, MAX_SIDE = 16, 8192  # px, of a result
MIN_SCALE, MAX_SCALE = 0.25, 8.0
_SIZE = re.compile(r"(?:([0-9]{1,9})x)?([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class TargetSize:
    """A box of ``width`` x ``height`` to fit into, ``height`` lines, or a ``scale``.

    ``even``: sides are rounded to even numbers, as 4:2:0 video has them.
    """

    width: int | None = None
    height: int | None = None
    scale: Fraction | None = None
    even: bool = False

    @classmethod
    def parse(cls, size: str | None, scale: float | None, *, even: bool = False) -> Self | None:
        """Returns what ``size`` ("1080p", "1280x720", "720") or ``scale`` names; None for neither.

        Raises ValueError for both, and for what is not allowed, which it states.
        """
        if scale is None:
            return None if size is None else cls._sized(size, even)
        if size is not None:
            raise ValueError("allowed is a size or a scale, not both")
        if not MIN_SCALE <= scale <= MAX_SCALE:
            raise ValueError(f"allowed is {MIN_SCALE:g} to {MAX_SCALE:g}")
        return cls(scale=Fraction(scale).limit_denominator(1000), even=even)

    def of(self, width: int, height: int) -> tuple[int, int]:
        """Returns width and height of the result of a frame.

        Raises ConfigError where a side would be too small or too large.
        """
        by = self._scale_of(width, height)
        rounded = _nearest_even if self.even else _nearest
        sides = rounded(width * by), rounded(height * by)
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
            raise ConfigError(
                f"output size {self}: got {sides[0]}x{sides[1]} from {width}x{height}, "
                f"allowed are sides from {MIN_SIDE} to {MAX_SIDE}"
            )
        return sides

    def remark(self, width: int, height: int) -> str:
        """Returns a sentence for people where a frame's result is made even, else nothing."""
        made, exact = self.of(width, height), replace(self, even=False).of(width, height)
        if made == exact:
            return ""
        return f"{made[0]}x{made[1]}, not {exact[0]}x{exact[1]}: H.264 in 4:2:0 has even sides"

    def __str__(self) -> str:
        if self.scale is not None:
            return f"x{float(self.scale):g}"
        return f"{self.height} lines" if self.width is None else f"{self.width}x{self.height}"

    @classmethod
    def _sized(cls, size: str, even: bool) -> Self:
        named = size.strip().lower()
        if named in BOXES:
            width, height = BOXES[named]
            return cls(width, height, even=even)
        found = _SIZE.fullmatch(named)
        sides = [int(side) for side in found.groups() if side] if found else []
        if not sides or not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
            raise ValueError(
                f"allowed are {', '.join(BOXES)}, WIDTHxHEIGHT as a box to fit into, and HEIGHT, "
                f"sides from {MIN_SIDE} to {MAX_SIDE}{'' if found else nearest(named, BOXES)}"
            )
        return cls(sides[-2] if len(sides) == 2 else None, sides[-1], even=even)

    def _scale_of(self, width: int, height: int) -> Fraction:
        if self.scale is not None:
            return self.scale
        limits = [
            Fraction(side - side % 2 if self.even else side, of)
            for side, of in ((self.width, width), (self.height, height))
            if side is not None
        ]
        return min(limits)


def _nearest(side: Fraction) -> int:
    return floor(side + Fraction(1, 2))


def _nearest_even(side: Fraction) -> int:
    """The nearest even number: of two that are equally near, the smaller one."""
    return 2 * ceil(side / 2 - Fraction(1, 2))
