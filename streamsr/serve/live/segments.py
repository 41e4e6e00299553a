"""What of a stream HLS has in memory: segments, and the parts of the newest ones. Pure.

A segment begins at a keyframe, a part is some frames of it (RFC 8216bis, 3.2 and 6.2.2).
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.serve.live.fmp4 import InitSegment
from streamsr.serve.live.fragmenter import MediaFragment

__all__ = ["ENOUGH", "PART_S", "Part", "Segment", "SegmentWindow"]

PART_S = Fraction(36, 100)  # that a part lasts at most, unless one frame lasts longer
ENOUGH = 3  # segments: players begin so many before the end, and Chromium fails on fewer
FIRST_S = Fraction(1)  # that each of those lasts, so that there are enough soon
KEPT = 3  # segments behind those in the playlist: a player may be on its way to them
HALF = Fraction(1, 2)  # second: durations are rounded to whole ones (RFC 8216, 4.3.3.1)
MOST_BYTES = 256 * 2**20  # of segments of one stream


@dataclass(frozen=True, slots=True)
class Part:
    """Some frames of a segment, with the audio beside them."""

    data: bytes = field(repr=False)
    lasts_s: Fraction
    independent: bool  # it begins with a keyframe


@dataclass(slots=True)
class Segment:
    """The parts from one keyframe to another. The newest one still grows."""

    number: int
    init: InitSegment
    init_number: int  # of the first segment that needs this one
    begins_s: Fraction  # in the window's time
    discontinuous: bool  # it has nothing to do with the one before
    parts: list[Part] = field(default_factory=list)
    complete: bool = False

    @property
    def lasts_s(self) -> Fraction:
        return sum((part.lasts_s for part in self.parts), Fraction(0))

    @property
    def bytes(self) -> int:
        return sum(len(part.data) for part in self.parts)


class SegmentWindow:
    """The newest ``listed`` segments of about ``segment_s`` each, and one that grows.

    Players may rely on what they were told of durations (RFC 8216, 6.2.1). So what there is to
    begin with says how long segments and parts are to be; later ones are ended in time, a segment
    without a keyframe if need be. Only a frame that is longer by itself makes them longer.
    """

    def __init__(
        self, first: int, segment_s: float, listed: int, request_keyframe: Callable[[], None]
    ) -> None:
        """``first`` is the first segment's number; ``request_keyframe`` is called where a segment
        should end."""
        self.segment_s = Fraction(segment_s).limit_denominator(1000)
        self.target_s = math.ceil(self.segment_s)  # that no segment is longer than, rounded
        self.part_target_s = Fraction(0)  # that no part is longer than
        self.discontinuities = 0  # before the first segment that is listed
        self.ended = False
        self.ends_s = Fraction(0)  # of what was added, in the window's time
        self._next = first
        self._listed = listed
        self._request_keyframe = request_keyframe
        self._segments: deque[Segment] = deque()  # complete ones
        self._open: Segment | None = None
        self._told = False  # the durations: players have begun, or could have
        self._fragments: list[MediaFragment] = []  # of the part that is not complete

    @property
    def listed(self) -> list[Segment]:
        """The complete segments of the playlist."""
        return list(self._segments)[-self._listed :]

    @property
    def open(self) -> Segment | None:
        """The segment that grows."""
        return self._open

    @property
    def next_number(self) -> int:
        """The number of the segment after all that there are."""
        return self._next

    @property
    def discontinuities_after(self) -> int:
        """How many there are before what begins after this window."""
        segments = [*self.listed, *([self._open] if self._open is not None else [])]
        after = sum(segment.discontinuous for segment in segments)
        return self.discontinuities + after + bool(segments)

    @property
    def playable(self) -> bool:
        """Whether players find enough to begin with."""
        return self.ended or len(self._segments) >= ENOUGH

    def init(self, number: int) -> InitSegment | None:
        """Returns the initial segment of the segments from ``number`` on."""
        return next((s.init for s in self._all() if s.init_number == number), None)

    def find(self, number: int) -> Segment | None:
        """Returns a segment that is still there, whole or not."""
        return next((s for s in self._all() if s.number == number), None)

    def add(self, fragment: MediaFragment) -> bool:
        """Adds a fragment; returns whether there is another part or segment now."""
        changed = False
        current = self._open
        if current is None or self._ends_before(current, fragment):
            changed = self._close_segment()
            self._open = self._begin_segment(fragment)
        most_s = self.part_target_s if self._told else PART_S
        if self._fragments and self._lasts_s() + fragment.lasts_s > most_s:
            self._close_part()
            changed = True
        self._fragments.append(fragment)
        self.ends_s = fragment.begins_s + fragment.lasts_s
        if self._lasts_s() + fragment.lasts_s > most_s:  # the next one would be too much
            self._close_part()
            changed = True
        return changed

    def end(self) -> None:
        """Closes what is open: there will be no more."""
        self._close_segment()
        self.ended = True

    def _ends_before(self, current: Segment, fragment: MediaFragment) -> bool:
        """Whether a segment ends before a fragment; asks for a keyframe where it should."""
        if fragment.init is not current.init:
            return True
        if self._told and fragment.begins_s + fragment.lasts_s - current.begins_s >= (
            self.target_s + HALF
        ):
            return True
        most_s = self.segment_s if self.playable else min(FIRST_S, self.segment_s)
        due = fragment.begins_s + fragment.lasts_s / 2 - current.begins_s >= most_s
        if due and not fragment.keyframe:
            self._request_keyframe()
        return due and fragment.keyframe

    def _begin_segment(self, fragment: MediaFragment) -> Segment:
        number, self._next = self._next, self._next + 1
        before = self._segments[-1] if self._segments else None
        if before is not None and before.init is fragment.init:
            return Segment(number, before.init, before.init_number, fragment.begins_s, False)
        return Segment(number, fragment.init, number, fragment.begins_s, before is not None)

    def _close_part(self) -> None:
        fragments, self._fragments = self._fragments, []
        if fragments and self._open is not None:
            data = b"".join(fragment.data for fragment in fragments)
            lasts_s = sum((fragment.lasts_s for fragment in fragments), Fraction(0))
            self._open.parts.append(Part(data, lasts_s, fragments[0].keyframe))
            self.part_target_s = max(self.part_target_s, lasts_s)

    def _lasts_s(self) -> Fraction:
        """How long the part is that is not complete."""
        return sum((fragment.lasts_s for fragment in self._fragments), Fraction(0))

    def _close_segment(self) -> bool:
        self._close_part()
        current, self._open = self._open, None
        if current is None:
            return False
        listed = self.listed
        current.complete = True
        # The first ones are short, and longer than that by as much as a keyframe is late.
        late_s = Fraction(0) if self._told else self.segment_s - min(FIRST_S, self.segment_s)
        self.target_s = max(self.target_s, math.floor(current.lasts_s + late_s + HALF))
        self._segments.append(current)
        self._told = self._told or len(self._segments) >= ENOUGH
        while len(self._segments) > self._listed + KEPT or self._too_large():
            self._segments.popleft()
        first = self.listed[0].number
        self.discontinuities += sum(s.discontinuous for s in listed if s.number < first)
        return True

    def _too_large(self) -> bool:
        size = sum(segment.bytes for segment in self._segments)
        return len(self._segments) > ENOUGH and size > MOST_BYTES

    def _all(self) -> Iterator[Segment]:
        yield from self._segments
        if self._open is not None:
            yield self._open
