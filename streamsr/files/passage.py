"""The frames of a file that are done and are seen again: found by a seek, and known by a checksum.

A container's index may be wrong, and a decoder that begins at a keyframe may give other frames
there than one that came from before: whatever is not the same is read from the start instead.
"""

import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np

from streamsr.core.frame import Frame
from streamsr.media.source import MediaSource

__all__ = ["Mark", "Marks", "Passage", "SoughtError"]

WORTH_S = 2  # from the start of a file: what is less is read


class SoughtError(Exception):
    """What was sought is not what was there before: it is to be read from the start."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a frame is known by, as it came."""

    pts: int
    checksum: int  # CRC-32 of its luma, or of all of what is R'G'B'

    @classmethod
    def of(cls, frame: Frame) -> Self:
        return cls(frame.pts, zlib.crc32(np.ascontiguousarray(frame.planes[0]).data))


class Marks:
    """Those of the newest frames that were read, and where the source stands."""

    def __init__(self, source: MediaSource, most: int) -> None:
        self._source = source
        self._newest: deque[Mark] = deque(maxlen=most)
        self._base = Fraction(1)  # of their time stamps

    def note(self, frame: Frame) -> None:
        """Takes the next frame."""
        self._newest.append(Mark.of(frame))
        self._base = frame.time_base

    def before(self, count: int) -> "Passage":
        """Returns how the frame that was given last is reached by ``count`` frames before it, which
        was not noted as yet, and one before them."""
        place = self._source.place() if len(self._newest) > count else None
        marks = () if place is None else tuple(self._newest)[-(count + 1) :]
        return Passage(marks, self._base, place)


@dataclass(frozen=True, slots=True)
class Passage:
    """From the frame before those that are seen again to the first that is to be done."""

    marks: Sequence[Mark] = ()  # of those frames; none: it is read from the start
    base: Fraction = Fraction(1)  # of their time stamps, in seconds
    place: Mapping[str, Any] | None = None  # of the source, with the first that is to be done

    @property
    def is_sought(self) -> bool:
        """Whether it is worth a seek, and can be."""
        return bool(self.marks) and self.marks[0].pts * self.base >= WORTH_S

    def begin(self, source: MediaSource) -> None:
        """Makes a source begin before it."""
        source.begin_before(self.marks[0].pts * self.base)

    def numbered(
        self, source: MediaSource, frames: Iterator[Frame], first: int
    ) -> Iterator[tuple[int, Frame]]:
        """Yields frames with their numbers, from the passage's first one on, which is ``first``.

        The source was made to ``begin`` before it. Raises SoughtError before the first frame that
        is to be done.
        """
        at = 0
        for frame in frames:
            if at == 0 and frame.pts < self.marks[0].pts:
                continue
            if at < len(self.marks) and Mark.of(frame) != self.marks[at]:
                raise SoughtError
            if at == len(self.marks) and not source.restore(self.place or {}):
                raise SoughtError
            yield first + at, frame
            at += 1
        if at <= len(self.marks):
            raise SoughtError
