"""Segments of a time line, and what is known of the tracks that are in them."""

from __future__ import annotations

from fractions import Fraction

__all__ = [
    "GOES_ON_S",
    "LONGEST_S",
    "MOST_REORDERED",
    "REORDERED_S",
    "RHYTHM_S",
    "TimeSegment",
    "TrackTime",
    "reordered",
]

LONGEST_S = Fraction(1)  # that a frame is taken to last: some files write the gap behind it into it
BACK_S = Fraction(1, 10)  # of decoding times, that only rise: less is an untidy clock
BACK_SHOWN_S = Fraction(1, 2)  # of presentation times: more than reordering leaves
GOES_ON_S = Fraction(1, 2)  # a track this near to where it was is still in its segment
RHYTHM_S = Fraction(600)  # slides may be apart that a container joins otherwise
MOST_REORDERED = 16  # frames (ITU-T H.264, A.3.1)
REORDERED_S = Fraction(1)  # or as long, where frames are short


class TimeSegment:
    """A run of stamps that belong together: ``shift`` seconds above their place."""

    def __init__(self, shift: Fraction, begin: Fraction) -> None:
        self.shift = shift
        self.begin = begin  # its place


class TrackTime:
    """What is known of one track; places are in seconds of the stream."""

    def __init__(
        self, segment: TimeSegment, end: Fraction, stamp: Fraction, *, shown: bool
    ) -> None:
        self.segment = segment
        self.stamp = stamp  # the newest, in seconds, unwrapped
        self.lasts = Fraction(0)  # what came with it
        self.shown = shown  # it is a presentation time, for want of a decoding time
        self.end = end  # what has been placed lasts up to here
        self.usual_end = end  # or to here, where a frame that says more lasts as those before it
        self.first = end  # place of its first packet in the segment
        self.delay = Fraction(0)  # from decoding a segment's first packet to showing one
        self.ahead = Fraction(0)  # of its arrival, live
        self.fell = False  # likewise: its newest stamp, which is not ``stamp``
        self._apart = [Fraction(0), Fraction(0)]  # seconds between its newest stamps

    @property
    def last(self) -> Fraction:
        """The place of the newest stamp."""
        return self.stamp - self.segment.shift

    @property
    def rhythm(self) -> Fraction:
        """Seconds between its stamps, as the last two distances agree on."""
        return max(Fraction(0), min(self._apart))

    def back(self, *, shown: bool) -> Fraction:
        """Seconds that a stamp may fall, in the order of decoding or of being ``shown``."""
        if shown:
            return max(BACK_SHOWN_S, min(4 * self.rhythm, LONGEST_S), reordered(self.lasts))
        return min(max(BACK_S, 2 * self.rhythm), LONGEST_S)

    def led_by(self, other: TrackTime) -> Fraction:
        """Seconds that another track is to begin later, as it did before."""
        apart = other.first - other.segment.begin - (self.first - self.segment.begin)
        return min(max(apart, -GOES_ON_S), GOES_ON_S)

    def note(self, stamp: Fraction, lasts: Fraction, *, shown: bool) -> None:
        self._apart = [self._apart[1], stamp - self.stamp]
        self.stamp, self.lasts, self.shown = stamp, lasts, shown


def reordered(lasts: Fraction) -> Fraction:
    """The longest that a frame may be shown after it is decoded, ``lasts`` seconds as it is."""
    return max(REORDERED_S, min(MOST_REORDERED * lasts, RHYTHM_S))
