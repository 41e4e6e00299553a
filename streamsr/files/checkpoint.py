"""Where a file's upscaling can go on: what is done, and what the frames to come depend on.

Knows no file: ``streamsr/files/partial.py`` keeps it.
"""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np

from streamsr.core.frame import ColourTags, Frame, HdrMetadata
from streamsr.files.passage import Passage
from streamsr.networks.contract import Memory
from streamsr.pipeline.keyframe_flicker import FlickerState

__all__ = ["Checkpoint", "End", "Opening"]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The state between two frames of a file; without arguments that before its first one."""

    frames: int = 0  # of the file that are done
    again: int = 0  # of those, the newest: they are pushed again once there is a memory
    warm_up: int = 0  # before those: a network sees them again, and forgets what it made of them
    flicker: FlickerState = field(default_factory=FlickerState)  # before all of them
    memory: tuple[Memory, ...] = ()  # of recurrent networks, after the frames to warm up
    time_s: float = 0.0  # of the file's next frame, for people
    plain: int = 0  # how often the network failed so far, and a frame was scaled plainly
    passage: Passage = field(default_factory=Passage)  # to it, from before the first of all those

    @property
    def from_the_start(self) -> "Checkpoint":
        """It, reached by reading all frames before."""
        return replace(self, passage=Passage())

    @property
    def first(self) -> int:
        """The first frame that a network sees again."""
        return self.frames - self.again - self.warm_up


@dataclass(frozen=True, slots=True)
class End:
    """How a file's frames ended."""

    until_s: float | None = None  # what else it carries is kept up to then; None: all of it
    damage: tuple[str, ...] = ()  # what could not be read, for people
    moved: int = 0  # frames whose time stamps could not be kept
    jumps: int = 0  # of its time stamps


@dataclass(frozen=True, slots=True)
class Opening:
    """What a file's first upscaled frame decides for all of them: how they are encoded."""

    width: int
    height: int
    is_rgb: bool
    depth: int
    colour: ColourTags
    hdr: HdrMetadata | None
    time_base: Fraction
    rate: Fraction  # nominal, frames a second
    aspect: Fraction  # width / height of a pixel
    input: str  # size of the source, for people
    model: str
    precision: str

    @property
    def frame(self) -> Frame:
        """A black frame of the kind."""
        dtype = np.uint8 if self.depth == 8 else np.uint16
        chroma = -(-self.height // 2), -(-self.width // 2)
        whole = [(self.height, self.width), chroma, chroma]
        shapes = [(self.height, self.width, 3)] if self.is_rgb else whole
        planes = tuple(np.zeros(shape, dtype) for shape in shapes)
        return Frame(planes, self.colour, 0, self.time_base, depth=self.depth, hdr=self.hdr)

    def to_json(self) -> dict[str, Any]:
        said = {name: getattr(self, name) for name in self.__slots__}
        said |= {name: str(said[name]) for name in ("time_base", "rate", "aspect")}
        said["colour"] = [getattr(self.colour, name) for name in ColourTags.__slots__]
        if self.hdr is not None:
            said["hdr"] = [getattr(self.hdr, name) for name in HdrMetadata.__slots__]
        return said

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        """Raises ValueError, TypeError or LookupError for what ``to_json`` did not give."""
        fractions = {name: Fraction(said[name]) for name in ("time_base", "rate", "aspect")}
        hdr = said["hdr"] and HdrMetadata(*map(tuple, said["hdr"]))
        return cls(**{**said, **fractions, "colour": ColourTags(*said["colour"]), "hdr": hdr})
