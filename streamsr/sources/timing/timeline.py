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

from streamsr.sources.timing.segments import (
    GOES_ON_S,
    LONGEST_S,
    MOST_REORDERED,
    REORDERED_S,
    RHYTHM_S,
    TimeSegment,
    TrackTime,
    reordered,
)

__all__ = ["Jump", "Placed", "TimePolicy", "Timeline", "unwrapped"]

LEAD_S = Fraction(10)  # what a track may come earlier, or later, than those beside it
SAID_S = Fraction(10)  # a gap that is kept and worth a word
LAG_S = Fraction(1, 5)  # from arrival: more is a clock that drifts from ours, followed slowly
SLEW_S = Fraction(1, 1000)  # a frame: too little to see or to hear
APART_S = Fraction(3)  # from arrival, of audio, which some muxers send long before its frames


@dataclass(frozen=True, slots=True)
class TimePolicy:
    """What tells the time of files from that of live sources."""

    max_gap_s: Fraction = Fraction(0)  # the longest gap that stays, where packets do not arrive
    wrap_s: Fraction | None = None  # where stamps begin again (33 bits in ISO/IEC 13818-1)
    reach_s: Fraction | None = None  # of a live source: how far a stamp may be from its arrival


@dataclass(frozen=True, slots=True)
class Jump:
    """Stamps that do not go on where those before them ended."""

    at_s: float  # place in the stream, in seconds
    by_s: float  # how far they are from it: below 0 when they fell
    kept: bool  # a gap that is meant, and stays

    @property
    def told(self) -> str:
        """What is done, for people."""
        joined = "what follows is joined there"
        done = "a gap that is kept, as input.max_gap_s allows" if self.kept else joined
        return f"the time stamps jump by {self.by_s:+.1f} s at {self.at_s:.1f} s: {done}"


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a packet goes: its stamps in seconds of the stream."""

    dts: Fraction | None
    pts: Fraction | None  # None too where it was far from the decoding time
    begins: bool = False  # it is its track's first one in a segment that was joined
    jump: Jump | None = None  # begun by this packet


class Timeline:
    """Places the packets of a file, all of its tracks, in the order they are read.

    A segment is joined where stamps fall, leave a gap that is too long, or are too far from when
    they arrive: where the one before it ended, or near to where arrival says. A jump is the nearest
    one that stamps can mean that begin again. Of a live source the first track leads: by its stamps
    a drifting clock is followed.
    """

    def __init__(self, start: Fraction, policy: TimePolicy) -> None:
        """``start``: the stamp, in seconds, that is second 0 of a file."""
        self._newest = TimeSegment(start, Fraction(0))
        self._before = self._newest  # the segment before the newest
        self._policy = policy
        self._tracks: dict[Hashable, TrackTime] = {}
        self._leader: TrackTime | None = None
        self.end = Fraction(0)  # of all tracks

    def place(
        self,
        track: Hashable,
        dts: Fraction | None,
        pts: Fraction | None,
        duration: Fraction,
        *,
        keyframe: bool = True,
        arrived: Fraction = Fraction(0),
    ) -> Placed:
        """Takes a packet's stamps, in seconds, and returns where it goes.

        Those that follow one that is no ``keyframe`` may be shown before it. ``arrived``: when a
        live one did, in seconds of the stream.
        """
        known = self._tracks.get(track)
        stamp = dts if dts is not None else pts
        if stamp is None:
            if known is not None:
                self._extend(known, known.end, duration)
            return Placed(None, None)
        stamp = unwrapped(stamp, known.stamp if known else self._newest.shift, self._policy.wrap_s)
        shown = stamp if pts is None else unwrapped(pts, stamp, self._policy.wrap_s)
        if known is not None and self._policy.reach_s is not None:
            duration = duration or known.rhythm
        odd = shown != stamp and not -REORDERED_S <= shown - stamp <= reordered(duration)
        shown = stamp if odd else shown
        begins, jump = False, None
        if known is None:
            jump = self._enter(shown, arrived)
            known = TrackTime(self._newest, shown - self._newest.shift, stamp, shown=dts is None)
            known.delay = shown - stamp
            self._tracks[track] = known
            self._leader = self._leader or known
        elif self._goes_on(known, stamp, arrived, shown=dts is None):
            jump = self._kept_gap(known, stamp)
        elif self._is_forgiven(known, stamp, arrived):
            return Placed(None, None)
        else:
            first = shown if keyframe else min(shown, stamp + known.delay)
            begins, jump = True, self._rejoin(known, stamp, first, duration, arrived)
            known.delay = first - stamp
        if self._policy.reach_s is not None:
            self._keep_up(known, stamp, arrived)
        known.note(stamp, duration, shown=dts is None)
        place = shown - known.segment.shift
        self._extend(known, place, duration)
        return Placed(
            None if dts is None else known.last, None if pts is None or odd else place, begins, jump
        )

    def is_stray(self, track: Hashable, dts: Fraction | None, pts: Fraction | None) -> bool:
        """Whether a packet's stamp is far from where its track is.

        Where the next one's is not, it says nothing; else it jumps, or there is a gap.
        """
        known = self._tracks.get(track)
        stamp = dts if dts is not None else pts
        if known is None or stamp is None:
            return False
        shown = known.shown or dts is None
        place = unwrapped(stamp, known.stamp, self._policy.wrap_s) - known.segment.shift
        most = reordered(known.lasts) if shown else max(LONGEST_S, 2 * known.rhythm)
        return not -known.back(shown=shown) <= place - known.last <= most

    def beside(self, stamp: Fraction) -> Fraction:
        """Returns the place of a packet that is here and there alone, as of subtitles.

        It begins no segment: it belongs to the newest, or to the one before it.
        """
        stamp = unwrapped(stamp, self._newest.shift + self.end, self._policy.wrap_s)
        places = [stamp - segment.shift for segment in (self._newest, self._before)]
        most = max(self._policy.max_gap_s, LEAD_S)
        near = [place for place in places if -LEAD_S <= place - self.end <= most]
        place = near[0] if near else places[0]
        return min(max(place, self._newest.begin - LEAD_S, Fraction(0)), self.end + most)

    def _enter(self, shown: Fraction, arrived: Fraction) -> Jump | None:
        """Makes room for a track's first packet: in the newest segment, or it begins another.

        It may be written long after those beside it, whose end says nothing of where it begins.
        """
        place = shown - self._newest.shift
        if self._policy.reach_s is not None:
            if self._leader is None or abs(place - arrived) > APART_S:
                self._begin(shown - arrived, arrived)
            return None
        earliest = min(self._newest.begin, self.end) - LEAD_S
        if earliest <= place <= self.end + max(self._policy.max_gap_s, LEAD_S):
            return None
        jump = Jump(float(self.end), float(place - self.end), kept=False)
        self._begin(shown - self.end, self.end)
        return jump if self._tracks else None  # else the file begins elsewhere than it says

    def _goes_on(
        self, track: TrackTime, stamp: Fraction, arrived: Fraction, *, shown: bool
    ) -> bool:
        """Whether a stamp belongs to the segment that its track is in."""
        place, live = stamp - track.segment.shift, self._policy.reach_s is not None
        fell = place < track.last - track.back(shown=(track.shown or shown) and not live)
        if live:  # it may fall to where it belongs, after one that was wrong
            fell &= abs(place - self._due(track, arrived)) > LAG_S
            return not fell and self._fits(track, place, arrived)
        if track.segment is not self._newest:  # others have left it
            return not fell and place - track.last <= GOES_ON_S
        return not fell and place - self.end <= self._most(track)

    def _most(self, track: TrackTime) -> Fraction:
        """The longest gap, in seconds, that stays; slides keep their rhythm and their order."""
        usual = max(2 * track.rhythm, (MOST_REORDERED if track.shown else 2) * track.lasts)
        return max(self._policy.max_gap_s, min(usual, RHYTHM_S))

    def _kept_gap(self, track: TrackTime, stamp: Fraction) -> Jump | None:
        if self._policy.reach_s is not None or stamp - track.segment.shift - self.end <= 0:
            return None
        end = max(other.usual_end for other in self._tracks.values())
        gap = stamp - track.segment.shift - end
        usual = reordered(track.lasts) if track.shown else 2 * track.rhythm
        if gap <= max(SAID_S, usual):
            return None
        return Jump(float(end), float(gap), kept=True)

    def _rejoin(
        self,
        track: TrackTime,
        stamp: Fraction,
        shown: Fraction,
        duration: Fraction,
        arrived: Fraction,
    ) -> Jump | None:
        """Moves a track into the newest segment, or into a new one that begins with it."""
        segment = self._next_of(track, stamp, arrived)
        if segment is not None:
            overlap = track.end - (shown - segment.shift)
            most = RHYTHM_S if self._policy.reach_s is None else LAG_S
            if segment is not self._newest:
                self._newest, self._before = segment, self._newest
            elif duration / 2 < overlap <= most:
                segment.shift -= overlap
            track.segment, track.first = segment, shown - segment.shift
            return None
        if self._policy.reach_s is None:
            join = max(other.end - track.led_by(other) for other in self._tracks.values())
        else:
            beside = [other for other in self._tracks.values() if other.segment is track.segment]
            due = self._due(track, arrived)
            join = min(max(due - LAG_S, *(other.end for other in beside)), due + LAG_S)
        jump = Jump(float(join), float(shown - track.segment.shift - join), kept=False)
        track.segment, track.first = self._begin(shown - join, join), join
        return jump

    def _next_of(self, track: TrackTime, stamp: Fraction, arrived: Fraction) -> TimeSegment | None:
        """The segment that others are in, where a track's stamp belongs to it too.

        Of a live source it may be the one before the newest: a stamp alone was wrong.
        """
        if self._policy.reach_s is None:
            place = stamp - self._newest.shift
            follows = place - self._newest.begin >= -LEAD_S
            follows &= place - self.end <= self._policy.max_gap_s
            return self._newest if follows and track.segment is not self._newest else None
        for segment in (self._newest, self._before):
            fits = self._fits(track, stamp - segment.shift, arrived)
            if fits and segment is not track.segment:
                return segment
        return None

    def _due(self, track: TrackTime, arrived: Fraction) -> Fraction:
        """Where a live packet is to be: audio may be sent before its frames, or after."""
        most = APART_S - LAG_S
        return arrived if track is self._leader else arrived + min(max(track.ahead, -most), most)

    def _fits(self, track: TrackTime, place: Fraction, arrived: Fraction) -> bool:
        """Whether a live packet's place is as near to its arrival as its track's are."""
        reach = self._policy.reach_s
        if reach is None or abs(place - arrived) > APART_S:
            return False
        return abs(place - self._due(track, arrived)) <= reach

    def _is_forgiven(self, track: TrackTime, stamp: Fraction, arrived: Fraction) -> bool:
        """Whether a live frame's stamp alone is wrong, as far as one tells: it fell a little."""
        fits = self._fits(track, stamp - track.segment.shift, arrived)
        track.fell = track is self._leader and fits and not track.fell
        return track.fell

    def _keep_up(self, track: TrackTime, stamp: Fraction, arrived: Fraction) -> None:
        """Follows the clock of a live source by a little, where it drifts from ours."""
        segment, late = track.segment, arrived - (stamp - track.segment.shift)
        leader = self._leader or track
        if leader.segment is not self._newest:  # it has not come there as yet
            leader = track
        if abs(late) > LAG_S and track is leader:
            segment.shift -= SLEW_S if late > 0 else -SLEW_S
        track.ahead, track.fell = stamp - segment.shift - arrived, False

    def _begin(self, shift: Fraction, place: Fraction) -> TimeSegment:
        self._before, self._newest = self._newest, TimeSegment(shift, place)
        return self._newest

    def _extend(self, track: TrackTime, place: Fraction, lasts: Fraction) -> None:
        lasts = min(max(lasts, Fraction(0)), LONGEST_S)
        track.end = max(track.end, place + lasts)
        track.usual_end = max(track.usual_end, place + min(lasts, track.rhythm or lasts))
        self.end = max(self.end, track.end)


def unwrapped(stamp: Fraction, near: Fraction, wrap: Fraction | None) -> Fraction:
    """Returns what a stamp that begins again at ``wrap`` means, nearest to ``near``."""
    return stamp if wrap is None else stamp + wrap * round((near - stamp) / wrap)
