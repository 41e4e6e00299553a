"""Where the stamps of a source go: one policy for files and for what is live.

What comes out rises, frame by frame, whatever comes in. Stamps that go on are kept to the tick,
with their gaps; those that jump begin a new segment, which is joined to the one before it, and
every track of the source follows its own stamps into it. Recordings are written in this time.

Pure: times come in as arguments.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["FrameTimes", "Jump", "Placed", "Timeline", "unwrapped"]

LEAD_S = Fraction(10)  # what a track may come earlier, or later, than those beside it
LONGEST_S = Fraction(1)  # that a frame is taken to last: some files write the gap behind it into it
BACK_S = Fraction(1, 10)  # of decoding times, that only rise: less is an untidy clock
BACK_SHOWN_S = Fraction(1, 2)  # of presentation times: more than reordering leaves
GOES_ON_S = Fraction(1, 2)  # a track this near to where it was is still in its segment
RHYTHM_S = Fraction(600)  # slides may be apart that a container joins otherwise
MOST_REORDERED = 16  # frames (ITU-T H.264, A.3.1)
REORDERED_S = Fraction(1)  # or as long, where frames are short
SAID_S = Fraction(10)  # a gap that is kept and worth a word
STUCK = 3  # repetitions of a stamp: it says nothing any more
NEAR_S = Fraction(1, 1000)  # less apart than any two frames are: muxers part equal stamps by a tick
AHEAD_S = Fraction(1, 2)  # of its stamp, that a repeated frame may be placed


@dataclass(frozen=True, slots=True)
class Jump:
    """Stamps that do not go on where those before them ended."""

    at_s: float  # place in the stream, in seconds
    by_s: float  # how far they are from it: below 0 when they fell
    kept: bool  # a gap that is meant, and stays


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a packet goes: its stamps in seconds of the stream."""

    dts: Fraction | None
    pts: Fraction | None  # None too where it was far from the decoding time
    begins: bool = False  # it is its track's first one in a segment that was joined
    jump: Jump | None = None  # begun by this packet


class _Segment:
    """A run of stamps that belong together: ``shift`` seconds above their place."""

    def __init__(self, shift: Fraction, begin: Fraction) -> None:
        self.shift = shift
        self.begin = begin  # its place


class _Track:
    """What is known of one track; places are in seconds of the stream."""

    def __init__(self, segment: _Segment, end: Fraction, stamp: Fraction, *, shown: bool) -> None:
        self.segment = segment
        self.stamp = stamp  # the newest, in seconds, unwrapped
        self.lasts = Fraction(0)  # what came with it
        self.shown = shown  # it is a presentation time, for want of a decoding time
        self.end = end  # what has been placed lasts up to here
        self.usual_end = end  # or to here, where a frame that says more lasts as those before it
        self.first = end  # place of its first packet in the segment
        self.delay = Fraction(0)  # from decoding a segment's first packet to showing one
        self._apart = [Fraction(0), Fraction(0)]  # seconds between its newest stamps

    @property
    def last(self) -> Fraction:
        """The place of the newest stamp."""
        return self.stamp - self.segment.shift

    @property
    def rhythm(self) -> Fraction:
        """Seconds between its stamps, as the last two distances agree on."""
        return max(Fraction(0), min(self._apart))

    def led_by(self, other: _Track) -> Fraction:
        """Seconds that another track is to begin later, as it did before."""
        apart = other.first - other.segment.begin - (self.first - self.segment.begin)
        return min(max(apart, -GOES_ON_S), GOES_ON_S)

    def note(self, stamp: Fraction, lasts: Fraction, *, shown: bool) -> None:
        self._apart = [self._apart[1], stamp - self.stamp]
        self.stamp, self.lasts, self.shown = stamp, lasts, shown


class Timeline:
    """Places the packets of a file, all of its tracks, in the order they are read.

    A segment is joined where stamps fall, or leave a gap of more than ``max_gap_s``. ``wrap_s`` is
    where the container's stamps begin again (33 bits of 90 kHz in ISO/IEC 13818-1): a jump is the
    nearest one that they can mean.
    """

    def __init__(
        self, start: Fraction, *, max_gap_s: float, wrap_s: Fraction | None = None
    ) -> None:
        """``start``: the stamp, in seconds, that is second 0."""
        self._newest = _Segment(start, Fraction(0))
        self._before = self._newest  # the segment before the newest
        self._max_gap = Fraction(max_gap_s)
        self._wrap = wrap_s
        self._tracks: dict[Hashable, _Track] = {}
        self._end = Fraction(0)  # of all tracks

    def place(
        self,
        track: Hashable,
        dts: Fraction | None,
        pts: Fraction | None,
        duration: Fraction,
        *,
        keyframe: bool = True,
    ) -> Placed:
        """Takes a packet's stamps, in seconds, and returns where it goes.

        Those that follow one that is no ``keyframe`` may be shown before it.
        """
        known = self._tracks.get(track)
        stamp = dts if dts is not None else pts
        if stamp is None:
            if known is not None:
                self._extend(known, known.end, duration)
            return Placed(None, None)
        stamp = unwrapped(stamp, known.stamp if known else self._newest.shift, self._wrap)
        shown = stamp if pts is None else unwrapped(pts, stamp, self._wrap)
        odd = not -REORDERED_S <= shown - stamp <= _reordered(duration)
        shown = stamp if odd else shown
        begins, jump = False, None
        if known is None:
            jump = self._enter(stamp, shown)
            known = _Track(self._newest, shown - self._newest.shift, stamp, shown=dts is None)
            known.delay = shown - stamp
            self._tracks[track] = known
        elif self._goes_on(known, stamp, shown=dts is None):
            jump = self._kept_gap(known, stamp)
        else:
            first = shown if keyframe else min(shown, stamp + known.delay)
            begins, jump = True, self._rejoin(known, stamp, first, duration)
            known.delay = first - stamp
        known.note(stamp, duration, shown=dts is None)
        place = shown - known.segment.shift
        self._extend(known, place, duration)
        return Placed(
            None if dts is None else known.last, None if pts is None or odd else place, begins, jump
        )

    def beside(self, stamp: Fraction) -> Fraction:
        """Returns the place of a packet that is here and there alone, as of subtitles.

        It begins no segment: it belongs to the newest, or to the one before it.
        """
        stamp = unwrapped(stamp, self._newest.shift + self._end, self._wrap)
        places = [stamp - segment.shift for segment in (self._newest, self._before)]
        most = max(self._max_gap, LEAD_S)
        near = [place for place in places if -LEAD_S <= place - self._end <= most]
        place = near[0] if near else places[0]
        return min(max(place, self._newest.begin - LEAD_S, Fraction(0)), self._end + most)

    def _enter(self, stamp: Fraction, shown: Fraction) -> Jump | None:
        """Makes room for a track's first packet: in the newest segment, or it begins another.

        It may be written long after those beside it, whose end says nothing of where it begins.
        """
        place = shown - self._newest.shift
        earliest = min(self._newest.begin, self._end) - LEAD_S
        if earliest <= place <= self._end + max(self._max_gap, LEAD_S):
            return None
        jump = Jump(float(self._end), float(place - self._end), kept=False)
        self._begin(shown - self._end, self._end)
        return jump if self._tracks else None  # else the file begins elsewhere than it says

    def _goes_on(self, track: _Track, stamp: Fraction, *, shown: bool) -> bool:
        """Whether a stamp belongs to the segment that its track is in."""
        place = stamp - track.segment.shift
        back = min(max(BACK_S, 2 * track.rhythm), LONGEST_S)
        if track.shown or shown:
            back = max(BACK_SHOWN_S, min(4 * track.rhythm, LONGEST_S), _reordered(track.lasts))
        if place < track.last - back:
            return False
        if track.segment is not self._newest:  # others have left it
            return place - track.last <= GOES_ON_S
        return place - self._end <= self._most(track)

    def _most(self, track: _Track) -> Fraction:
        """The longest gap, in seconds, that stays; slides keep their rhythm and their order."""
        usual = max(2 * track.rhythm, (MOST_REORDERED if track.shown else 2) * track.lasts)
        return max(self._max_gap, min(usual, RHYTHM_S))

    def _kept_gap(self, track: _Track, stamp: Fraction) -> Jump | None:
        if stamp - track.segment.shift - self._end <= 0:
            return None
        end = max(other.usual_end for other in self._tracks.values())
        gap = stamp - track.segment.shift - end
        usual = _reordered(track.lasts) if track.shown else 2 * track.rhythm
        if gap <= max(SAID_S, usual):
            return None
        return Jump(float(end), float(gap), kept=True)

    def _rejoin(
        self, track: _Track, stamp: Fraction, shown: Fraction, duration: Fraction
    ) -> Jump | None:
        """Moves a track into the newest segment, or into a new one that begins with it."""
        newest, place = self._newest, stamp - self._newest.shift
        follows = place - newest.begin >= -LEAD_S and place - self._end <= self._max_gap
        if track.segment is not newest and follows:
            overlap = track.end - (shown - newest.shift)
            if overlap > duration / 2:
                newest.shift -= overlap
            track.segment, track.first = newest, shown - newest.shift
            return None
        join = max(other.end - track.led_by(other) for other in self._tracks.values())
        jump = Jump(float(join), float(shown - track.segment.shift - join), kept=False)
        track.segment, track.first = self._begin(shown - join, join), join
        return jump

    def _begin(self, shift: Fraction, place: Fraction) -> _Segment:
        self._before, self._newest = self._newest, _Segment(shift, place)
        return self._newest

    def _extend(self, track: _Track, place: Fraction, lasts: Fraction) -> None:
        lasts = min(max(lasts, Fraction(0)), LONGEST_S)
        track.end = max(track.end, place + lasts)
        track.usual_end = max(track.usual_end, place + min(lasts, track.rhythm or lasts))
        self._end = max(self._end, track.end)


class FrameTimes:
    """Times of decoded frames in units of a time base, strictly rising, ``step`` a frame.

    A frame without a stamp follows the one before it, and so do frames whose stamps stand still.
    """

    def __init__(self, base: Fraction, step: int) -> None:
        self._step = max(1, step)
        self._ahead = max(1, int(AHEAD_S / base))
        self._near = max(1, int(NEAR_S / base))
        self._last: int | None = None  # where the newest frame is
        self._stamp: int | None = None  # that it had
        self._apart = (0, 0)  # from frame to frame, the newest two
        self._repeated = 0  # how often it has come again

    def placed(self, pts: int | None) -> int:
        """Returns where a frame goes, whose stamp is ``pts``."""
        last = self._last
        stands = pts is not None and self._stamp is not None and abs(pts - self._stamp) < self._near
        self._repeated = self._repeated + 1 if stands else 0
        self._stamp = pts
        if last is None:
            self._last = pts or 0
        elif pts is None:
            self._last = last + max(self._step, min(self._apart))
        elif self._repeated >= STUCK:
            self._last = last + self._step
        elif pts > last and not stands:
            self._last = pts
        else:
            self._last = last + max(1, min(self._step // 2, pts + self._ahead - last))
        self._apart = (self._apart[1], self._last - (self._last if last is None else last))
        return self._last


def _reordered(lasts: Fraction) -> Fraction:
    """The longest that a frame may be shown after it is decoded, ``lasts`` seconds as it is."""
    return max(REORDERED_S, min(MOST_REORDERED * lasts, RHYTHM_S))


def unwrapped(stamp: Fraction, near: Fraction, wrap: Fraction | None) -> Fraction:
    """Returns what a stamp that begins again at ``wrap`` means, nearest to ``near``."""
    return stamp if wrap is None else stamp + wrap * round((near - stamp) / wrap)
