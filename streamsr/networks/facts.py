"""What a caller must know of a network to feed it frames; its model card says the same.

Imports no torch, so that a process without one reads model cards.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Colour", "Facts"]


class Colour(StrEnum):
    """What a network reads and writes."""

    LUMA = "luma"  # 1 channel, Y' of limited range: 16/255 is black, 235/255 is white
    RGB = "rgb"  # 3 channels, R'G'B' in [0, 1]

    @property
    def channels(self) -> int:
        return 1 if self is Colour.LUMA else 3


@dataclass(frozen=True, slots=True)
class Facts:
    """What a caller must know of a model; its card says the same."""

    scale: int  # output side / input side
    window: int  # frames one output looks at
    lookahead: int  # frames after its own that an output waits for
    colour: Colour
    multiple: int = 1  # height and width must be multiples of it; the engine pads

    def __post_init__(self) -> None:
        for name in ("scale", "window", "multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed is 1 or more")
        if not 0 <= self.lookahead < self.window:
            raise ValueError(
                f"lookahead: got {self.lookahead}, allowed is 0 to {self.window - 1} (window - 1)"
            )
