"""What an upscaler is asked for: a model, and the size of its results."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Self

from streamsr.api.models import path_of
from streamsr.core.errors import ConfigError, InputError
from streamsr.core.target_size import TargetSize
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import Entry, find, members

__all__ = ["ModelRequest", "Size"]

Size = str | int | Sequence[int]
FOR_IMAGES = "fast"  # of what is not coded


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model by name and folders, and a size or a scale, or neither: as large as it makes it."""

    model: str
    folders: Sequence[Path]
    size: str | None
    scale: float | None
    auto: bool = False  # the model suits what is upscaled: that of images, until it is a file

    @classmethod
    def of(
        cls,
        model: str | PathLike[str],
        folders: Sequence[Path],
        size: Size | None,
        scale: float | None,
    ) -> Self:
        """Raises ConfigError for a size or a scale that there cannot be."""
        name = path_of(model, "model")
        if not isinstance(model, str) and os.sep not in name:
            name = f".{os.sep}{name}"
        if isinstance(size, Iterable) and not isinstance(size, str | bytes):
            size = "x".join(map(str, size))
        if scale is not None and (not isinstance(scale, Real) or isinstance(scale, bool)):
            raise ConfigError(f"scale: got {scale!r}, allowed are numbers")
        by = None if scale is None else float(scale)
        auto = name == AUTO
        wanted = cls(FOR_IMAGES if auto else name, folders, _text(size), by, auto)
        wanted.target()
        return wanted

    def target(self, *, even: bool = False) -> TargetSize | None:
        """Returns the size of results; None: as large as the model makes them."""
        try:
            return TargetSize.parse(self.size, self.scale, even=even)
        except ValueError as error:
            got = f"scale: got {self.scale:g}" if self.size is None else f"size: got {self.size!r}"
            if None not in (self.size, self.scale):
                got += f" and a scale of {self.scale:g}"
            raise ConfigError(f"{got}, {error}") from None

    @property
    def output(self) -> dict[str, str | float | None]:
        """The size as a pipeline's settings say it."""
        return {"size": self.size, "scale": self.scale}

    def member(self, width: int, height: int) -> tuple[Entry, TargetSize | None]:
        """Returns the model for images of this size: the smallest that reaches the result's; and
        the result's size, where the model does not make it. Raises ModelError, ConfigError.
        """
        target = self.target()
        if target is None:
            return self.usual(), None
        made = target.of(width, height)
        ratio = min(Fraction(made[0], width), Fraction(made[1], height))
        entry = self._reaching(round(ratio) if abs(ratio - round(ratio)) * height < 2 else ratio)
        exact = made == (width * entry.facts.scale, height * entry.facts.scale)
        return entry, None if exact else target

    def made_of(self, width: int, height: int) -> tuple[int, int]:
        """Returns width and height of the result of an image. Raises InputError, ConfigError."""
        if not all(isinstance(side, Integral) and side > 0 for side in (width, height)):
            raise InputError(f"size: got {width!r}x{height!r}, allowed are whole numbers from 1")
        entry, target = self.member(width, height)
        scale = entry.facts.scale
        return (width * scale, height * scale) if target is None else target.of(width, height)

    def usual(self) -> Entry:
        """Returns the model for images of whatever size. Raises ModelError."""
        if self.scale is not None:
            return self._reaching(Fraction(self.scale).limit_denominator(1000))
        return find(self.model, self.folders)

    def _reaching(self, ratio: Fraction | int) -> Entry:
        found = members(self.model, self.folders)
        filters = [entry for entry in found.values() if entry.card.serves_every_scale]
        if filters:
            whole = min(max(-(-ratio.numerator // ratio.denominator), 2), 8)
            return find(self.model, self.folders, whole)
        reaching = [scale for scale in sorted(found) if scale >= ratio]
        return found[reaching[0] if reaching else max(found)]


def _text(size: object) -> str | None:
    return None if size is None else str(size)
