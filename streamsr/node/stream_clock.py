"""One clock for all sessions of a stream. Pure: the time comes in as an argument."""

from dataclasses import replace
from fractions import Fraction

from streamsr.core.packet import AUDIO_TRACKS, Packet

__all__ = ["StreamClock"]

MICROSECONDS = 1_000_000  # a second


class StreamClock:
    """Places the packets of one session after another by when their frames arrived.

    Every session counts its time from its own first frame, long before its first packet where
    nobody watched. The stream's time is the first session's, and goes on as the monotonic clock
    does, which all processes of a machine share: between two sessions lies what lay between them.
    """

    def __init__(self) -> None:
        self.frame_s = Fraction(0)  # that a frame lasts; set where it is known
        self._origin_s: Fraction | None = None  # monotonic: second 0 of the stream
        self._shift_s: Fraction | None = None  # added to this session's times; None: not known
        self._newest_s = Fraction(0)  # of the stream: the newest frame

    def begin_session(self) -> None:
        """Forgets the time of the session before: the next packet is another one's."""
        self._shift_s = None

    def placed(self, packet: Packet, now_s: float) -> Packet:
        """Returns a packet that came at ``now_s``, monotonic, with its time in the stream.

        A session begins once the last frame before it is over: where clocks disagree it is moved
        as a whole, its frames as far apart as they were.
        """
        time_s = packet.pts * packet.time_base
        if self._shift_s is None:
            self._shift_s = self._shift(packet.arrived or now_s, time_s)
        if packet.track not in AUDIO_TRACKS:
            self._newest_s = max(self._newest_s, time_s + self._shift_s)
        ticks = round(self._shift_s / packet.time_base)
        dts = None if packet.dts is None else packet.dts + ticks
        return replace(packet, pts=packet.pts + ticks, dts=dts)

    def _shift(self, arrived_s: float, time_s: Fraction) -> Fraction:
        began_s = Fraction(round(arrived_s * MICROSECONDS), MICROSECONDS) - time_s
        if self._origin_s is None:
            self._origin_s = began_s
            return Fraction(0)
        return max(began_s - self._origin_s, self._newest_s + self.frame_s - time_s)
