"""A live source's time stamps on our own clock: rising whatever the camera does.

Pure: times come in as arguments.
"""

from collections import deque
from fractions import Fraction

__all__ = ["TICKS", "ClockSync"]

TICKS = Fraction(1, 90_000)
"""The time base of a live stream, as RTP has it for video (RFC 6184)."""

JUMP_S = 1.0  # a stamp this far from where it should be is a jump, not jitter
AUDIO_JUMP_S = 3.0  # likewise of audio, which some muxers send long before its frames, or after
AUDIO_GOES_ON_S = 0.5  # a piece this near to the one before it belongs to the same segment
LAG_S = 0.2  # beyond it the camera's clock is drifting from ours, and is followed slowly
SLEW_S = 0.001  # a frame: too little to see or to hear
SMOOTHED = 8  # frames
MISTRUSTED = 4  # jumps within MISTRUST_S: the stamps mean nothing
MISTRUST_S = 60.0


class _Segment:
    """Stamps of one run of the source's clock."""

    def __init__(self, offset_s: float, wrap_s: float | None) -> None:
        self.offset_s = offset_s  # source seconds to stream seconds
        self._wrap_s = wrap_s

    def place(self, source_s: float, now_s: float) -> float:
        """Returns the stream seconds of a stamp, read as the time nearest to now that it can mean:
        where stamps begin again the segment goes on."""
        if self._wrap_s is not None:
            wraps = round((now_s - source_s - self.offset_s) / self._wrap_s)
            self.offset_s += wraps * self._wrap_s
        return source_s + self.offset_s

    def follow(self, source_s: float, now_s: float) -> float:
        """Returns its place, after a drifting clock was followed by a little."""
        late_s = now_s - self.place(source_s, now_s)
        if abs(late_s) > LAG_S:
            self.offset_s += SLEW_S if late_s > 0 else -SLEW_S
        return source_s + self.offset_s


class ClockSync:
    """Maps a source's seconds to ticks since the stream's start.

    The offset between the two clocks is fixed when the first frame after a connection arrives, so
    that a frame's place is the moment it arrived at, without the network's jitter. Tick 0 is the
    first frame of all. After a jump a new segment begins, placed by arrival; audio goes over into
    it by its own stamps, before the frames or after them. Stamps that a demuxer invented, or that
    jump again and again, are ignored: frames go by their arrival.
    """

    def __init__(self) -> None:
        self.by_arrival = False  # stamps are ignored, for the rest of the connection
        self._start_s: float | None = None  # monotonic: tick 0
        self._wrap_s: float | None = None
        self._last = -1  # ticks of the newest frame
        self._usual = 0  # ticks between two frames
        self.reconnected()

    def reconnected(self, *, invented: bool = False, wrap_s: Fraction | None = None) -> None:
        """Forgets the source's clock, which may have started from 0 again.

        ``invented``: the stamps to come are the demuxer's own. ``wrap_s``: they begin again there.
        """
        self.by_arrival = invented
        self._wrap_s = None if wrap_s is None else float(wrap_s)
        self._video: _Segment | None = None
        self._audio: _Segment | None = None
        self._audio_s: float | None = None  # where the newest audio was placed
        self._audio_ahead_s: float | None = None  # of its arrival: sent before its frames
        self._audio_left = False  # audio has left its segment, and found no other yet
        self._connected = False  # a frame has come
        self._behind = 0  # frames in a row whose stamps fell
        self._jumped: deque[float] = deque(maxlen=MISTRUSTED)  # when

    def frame(self, source_s: float | None, arrived_s: float) -> tuple[int, bool]:
        """Returns a frame's ticks, strictly rising, and whether its time is a discontinuity."""
        now_s = self._now(arrived_s)
        broken, self._connected = not self._connected, True
        if source_s is not None and not self.by_arrival:
            place, jumped = self._stamped(source_s, now_s)
            broken |= jumped
        if source_s is None or self.by_arrival:  # in a burst, half a frame's time apart
            place = round(now_s / TICKS)
            if place < (soonest := self._last + max(1, self._usual // 2)):
                self._last = soonest
                return soonest, broken
        interval, place = place - self._last, max(self._last + 1, place)
        if self._last >= 0:
            self._usual += (interval - self._usual) // SMOOTHED if self._usual else interval
        self._last = place
        return place, broken

    def _stamped(self, source_s: float, now_s: float) -> tuple[int, bool]:
        """Returns the ticks that a frame's stamp stands for, and whether it jumped."""
        if self._video is None:
            self._video = self._segment(source_s, now_s)
        jumped = abs(self._video.place(source_s, now_s) - now_s) > JUMP_S
        if jumped:
            self._jump(source_s, now_s)
        if self._video.place(source_s, now_s) > self._last * TICKS:
            self._behind = 0
            return round(self._video.follow(source_s, now_s) / TICKS), jumped
        self._behind += 1
        if self._behind == 1:  # its stamp alone is wrong, as far as one frame tells
            return min(round(now_s / TICKS), self._last + self._usual), jumped
        self._jump(source_s, max(now_s, float((self._last + self._usual) * TICKS)))
        return round(self._video.place(source_s, now_s) / TICKS), True

    def audio_s(self, source_s: float | None, arrived_s: float) -> float | None:
        """Returns the stream seconds of audio; None while no frame has set the clocks."""
        if source_s is None or not self._connected:
            return None
        now_s = self._now(arrived_s)
        video = None if self.by_arrival else self._video
        segment = self._audio or video or self._segment(source_s, now_s)
        place = segment.place(source_s, now_s)
        goes_on = self._audio_s is not None and abs(place - self._audio_s) <= AUDIO_GOES_ON_S
        self._audio_left |= not goes_on or abs(place - now_s) > AUDIO_JUMP_S
        if self._audio_left:
            segment = self._nearest([video or segment, segment], source_s, now_s)
            far = abs(segment.place(source_s, now_s) - now_s) > JUMP_S
            self._audio_left = far or segment is not video
        self._audio = segment
        own = segment is not video
        self._audio_s = (segment.follow if own else segment.place)(source_s, now_s)
        self._audio_ahead_s = self._audio_s - now_s
        return self._audio_s

    def _nearest(self, known: list[_Segment], source_s: float, now_s: float) -> _Segment:
        """Returns the segment that fits audio best; a new one where none does."""
        due_s = now_s + (self._audio_ahead_s or 0.0)
        best = min(known, key=lambda segment: abs(segment.place(source_s, now_s) - due_s))
        place = best.place(source_s, now_s)
        near_s = AUDIO_JUMP_S if self._audio_ahead_s is None else JUMP_S
        near = abs(place - due_s) <= near_s and abs(place - now_s) <= AUDIO_JUMP_S
        return best if near else self._segment(source_s, due_s)

    def _jump(self, source_s: float, place_s: float) -> None:
        """Begins another segment for frames: where audio has gone before, else at ``place_s``."""
        ahead, self._behind = self._audio, 0
        if ahead is None or abs(ahead.place(source_s, place_s) - place_s) > JUMP_S:
            ahead = self._segment(source_s, place_s)
        self._video = ahead
        self._jumped.append(place_s)
        many = len(self._jumped) == MISTRUSTED
        self.by_arrival = many and place_s - self._jumped[0] < MISTRUST_S

    def _segment(self, source_s: float, place_s: float) -> _Segment:
        return _Segment(place_s - source_s, self._wrap_s)

    def _now(self, arrived_s: float) -> float:
        if self._start_s is None:
            self._start_s = arrived_s
        return arrived_s - self._start_s
