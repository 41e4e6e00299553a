"""The times of what a publisher sends, over both tracks. Pure: time comes in as an argument.

RTP gives each track a clock of its own, that begins anywhere and wraps. Sender reports tie each of
them to the publisher's wall clock, and so to each other (RFC 3550, 6.4.1). Until both have come,
what arrives together belongs together.
"""

from dataclasses import dataclass

__all__ = ["RtpClock"]

WRAP = 1 << 32
NTP_S = 1 << 32  # of a second in NTP's fixed point


@dataclass(slots=True)
class _Track:
    rate: int  # ticks a second
    newest: int | None = None  # its stamp, unwrapped
    offset_s: float = 0.0  # added to its own seconds
    wall_s: float | None = None  # the publisher's wall clock at the track's second 0

    def unwrapped(self, stamp: int) -> int:
        if self.newest is None:
            return stamp
        ahead = (stamp - self.newest) % WRAP
        return self.newest + (ahead if ahead < WRAP // 2 else ahead - WRAP)


class RtpClock:
    """Seconds of the publishing, for stamps of its tracks, which are named by their kind."""

    def __init__(self, rates: dict[str, int]) -> None:
        """``rates``: ticks a second of each track; "video" must be one."""
        self._tracks = {kind: _Track(rate) for kind, rate in rates.items()}

    def time_s(self, kind: str, stamp: int, arrived_s: float) -> float:
        """Returns when a frame is shown that arrived at ``arrived_s``, of any clock that rises."""
        track = self._tracks[kind]
        if track.newest is None:
            track.newest = stamp
            track.offset_s = arrived_s - stamp / track.rate
            self._join()
        ticks = track.unwrapped(stamp)
        track.newest = max(track.newest, ticks)
        return ticks / track.rate + track.offset_s

    def report(self, kind: str, ntp: int, stamp: int) -> None:
        """Takes a sender report: the publisher's NTP time, in 64 bits, of a stamp of a track."""
        track = self._tracks[kind]
        track.wall_s = ntp / NTP_S - track.unwrapped(stamp) / track.rate
        self._join()

    def _join(self) -> None:
        """Moves the audio to where it belongs beside the video, once that is known."""
        video = self._tracks["video"]
        for track in self._tracks.values():
            known = None not in (video.wall_s, track.wall_s, video.newest, track.newest)
            if track is not video and known and video.wall_s is not None:
                assert track.wall_s is not None
                track.offset_s = video.offset_s + track.wall_s - video.wall_s
