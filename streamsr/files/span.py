"""Which frames of a file are in a part, and what reading it to its end has shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from streamsr.core.frame import Frame
from streamsr.core.settings import LimitSettings
from streamsr.files.checkpoint import End
from streamsr.media.source import Item, MediaSource, SourceInfo

__all__ = ["Read", "Span"]

WHOLE = 0.9  # of what a source says it has: less is not all of it


@dataclass(frozen=True, slots=True)
class Span:
    """Which frames of a file are a part."""

    segment_s: Fraction  # how long a segment is
    limits: LimitSettings  # of the file
    segments: int | None = None  # in the part, at most; None: to the end of the file

    def segment_of(self, frame: Frame) -> int:
        """Returns the number of a frame's segment: they begin at multiples of ``segment_s``."""
        return int(frame.pts * frame.time_base // self.segment_s)

    def is_past(self, frame: Frame, number: int) -> bool:
        """Whether a frame, the file's ``number``-th from 0, is after those asked for."""
        if self.limits.frames is not None and number >= self.limits.frames:
            return True
        return self.limits.seconds is not None and frame.time_s >= self.limits.seconds


class Read:
    """What has been read of a source."""

    def __init__(self, source: MediaSource) -> None:
        self.info: SourceInfo | None = None
        self._source = source
        self._reached_s = 0.0  # the latest time

    def note(self, item: Item) -> None:
        """Takes whatever the source gives."""
        if isinstance(item, SourceInfo):
            self.info = item
        else:
            self._reached_s = max(self._reached_s, item.time_s)

    def end(self, until_s: float | None, frames: int, damage: Sequence[str]) -> End:
        """Returns how its frames ended, after so many; ``until_s``: the rest is not asked for."""
        broken = self._breaks_off(frames) if until_s is None else []
        return End(until_s, (*damage, *broken), self._source.moved, self._source.jumps)

    def _breaks_off(self, frames: int) -> list[str]:
        """Says, of a source that was read to its end, whether it says itself that it is longer."""
        info = self.info
        if info is None or info.frames is None or self._source.jumps:
            return []
        said_s = float(info.frames / info.rate)
        if frames >= WHOLE * info.frames or self._reached_s >= WHOLE * said_s - 1:
            return []
        return [f"it breaks off after {frames} of about {info.frames} frames"]
