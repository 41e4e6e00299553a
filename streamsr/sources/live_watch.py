"""Watches one connection of a live source: whether it still delivers, and what it waits for.

Pure: times come in as arguments, monotonic seconds.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median

from streamsr.core.errors import SourceError

__all__ = ["LiveTimeouts", "LiveWatch"]

WAITED_S = 0.003  # for a packet: it had not been there before
BACKLOG_S = 2.0  # after opening: what comes from then on is live however fast it comes
RHYTHM = 8  # intervals between packets of video: the longest of them is the camera's own
MISSED = 3  # intervals without a packet: no jitter any more
TRICKLE_S = 8.0  # with a tenth of the packets that there were at first: no rhythm, a trickle
TRICKLE = 0.1
LONGEST_S = 60.0  # that a camera of any rhythm may be silent


@dataclass(frozen=True, slots=True)
class LiveTimeouts:
    """How long a camera may take."""

    open_s: float = 10.0  # to say something, and to send its first video
    read_s: float = 2.3  # for a packet, before what is missing is looked at; see below
    burst_s: float = 30.0  # for the next segment of HLS
    mute_s: float = 5.7  # for a packet, where a read that was given up cannot be taken up again
    silent_s: float = 4.0  # without a packet of video; longer where its frames are rarer
    unknown_s: float = 12.0  # likewise, while it is not known how rare they are
    damaged_s: float = 6.0  # without a whole frame though keyframes come
    keyframe_s: float = 60.0  # without a keyframe though video comes
    waiting_s: float = 2.0  # without a frame: what it waits for is told

    # A read that is given up within a frame damages it. No camera sends its frames at a whole
    # number of 2.3 s, at least none at a whole number of seconds.


class LiveWatch:
    """Watches what arrives: silence is measured against the camera's own rhythm."""

    def __init__(
        self,
        opened: float,
        timeouts: LiveTimeouts,
        *,
        asked: float | None = None,
        in_bursts: bool = False,
    ) -> None:
        """``asked``: when opening began, unless it took no time. ``in_bursts``: packets arrive long
        before they are due, then none for long (HLS)."""
        self.frames = 0  # delivered
        # Some servers begin with what they sent the others since the last keyframe. It is decoded,
        # not delivered: the whole stream would lag by it. A read that waits ends it.
        self.at_live_edge = in_bursts
        self._opened = opened
        self._timeouts = timeouts
        self._in_bursts = in_bursts
        self._asked = opened if asked is None else asked
        self._newest = self._asked  # the newest frame
        self._packet: float | None = None  # the newest packet of video
        self._intervals: deque[float] = deque(maxlen=RHYTHM)
        self._first_s: float | None = None  # the usual interval at first; None: not known yet
        self._recent: deque[float] = deque()  # packets of the last TRICKLE_S
        self._keyframe: float | None = None  # a keyframe since the newest frame
        self._told = False  # what it waits for, since the newest frame

    def arrived(self, now: float, asked: float) -> None:
        """Takes any packet, that was asked for at ``asked``."""
        self.at_live_edge |= now - asked > WAITED_S or now - self._opened > BACKLOG_S

    def video(self, now: float, *, keyframe: bool) -> None:
        """Takes a packet of video."""
        if self._packet is not None and self.at_live_edge:
            self._intervals.append(now - self._packet)
            if self._first_s is None and len(self._intervals) == RHYTHM:
                self._first_s = median(self._intervals)
        self._packet = now
        self._recent.append(now)
        if keyframe and self._keyframe is None:
            self._keyframe = now

    @property
    def has_video(self) -> bool:
        """Whether any packet of video has come."""
        return self._packet is not None

    def delivered(self, now: float) -> None:
        """Takes a frame."""
        self.frames += 1
        self._newest, self._keyframe, self._told = now, None, False

    def check(self, now: float) -> None:
        """Raises SourceError after too long a silence, or too long without a whole frame."""
        limits, silent_s = self._timeouts, now - (self._packet or self._asked)
        if silent_s > self._silent_s:
            raise SourceError(f"no new frame for {silent_s:.0f} s")
        while self._recent and self._recent[0] < now - TRICKLE_S:
            self._recent.popleft()
        if self._trickles(now):
            raise SourceError(f"only {len(self._recent)} frames came in {TRICKLE_S:.0f} s")
        without_s = now - self._newest
        if self._keyframe is not None:
            damaged_s = max(limits.damaged_s, self._silent_s)
            if now - self._keyframe > damaged_s:
                raise SourceError(f"video comes, but no whole frame for {without_s:.0f} s")
        elif without_s > max(limits.keyframe_s, self._silent_s):
            raise SourceError(f"video comes, but no keyframe for {without_s:.0f} s")

    def waits_for(self, now: float) -> str | None:
        """Returns what it waits for, once for each wait; None where there is nothing to tell."""
        waited_s = now - max(self._newest, self._opened)
        if self._told or waited_s < max(self._timeouts.waiting_s, 2 * self._usual_s):
            return None
        if self._packet is None:
            self._told = True
            return "connected; waiting for its first packet of video"
        if now - self._packet > self._timeouts.waiting_s or self._keyframe is not None:
            return None  # silent, or damaged: that is told by others
        self._told = True
        return "video comes; waiting for its next keyframe, which frames can be shown from"

    def _trickles(self, now: float) -> bool:
        """Whether far fewer packets come than at first. A camera that means it is opened again."""
        if self._first_s is None or self._in_bursts or now - self._opened < TRICKLE_S:
            return False
        few = TRICKLE * TRICKLE_S / max(self._first_s, 0.01)
        return few >= 2 and len(self._recent) < few

    @property
    def _usual_s(self) -> float:
        return max(self._intervals, default=0.0)

    @property
    def _silent_s(self) -> float:
        """How long it may be without a packet of video."""
        limits = self._timeouts
        if self._packet is None:
            return limits.open_s
        if self._in_bursts:
            return limits.burst_s
        if len(self._intervals) < RHYTHM // 2:
            return limits.unknown_s
        return min(LONGEST_S, max(limits.silent_s, MISSED * self._usual_s))
