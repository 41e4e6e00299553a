"""Lets a session's tracks leave in step. Pure: no clock, no loop."""

from collections import deque
from fractions import Fraction

from streamsr.core.packet import Packet, Track

__all__ = ["AvSync"]

CAPACITY = 128  # packets held back: about 1.7 s of one picture track and audio


class AvSync:
    """Holds input pictures and audio back until the output picture of their instant is there.

    RTP gives each track a clock of its own, and the receiver ties them together by the wall time at
    which aiortc sent them (RFC 3550, 6.4.1). Whatever should be seen and heard together must
    therefore leave together, although upscaling takes time that the audio has not spent.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._reached: Fraction | None = None  # presentation time of the newest output, seconds
        self._held: deque[Packet] = deque()

    def push(self, packet: Packet) -> list[Packet]:
        """Take a packet; return those that leave now, in order."""
        time = packet.pts * packet.time_base
        if packet.track == Track.OUTPUT:
            self._reached = time
            return [packet, *self._due(time)]
        if self._reached is None and packet.track == Track.OPUS:
            return []  # a viewer hears nothing before the first picture
        if self._reached is not None and time <= self._reached:
            return [packet]
        self._held.append(packet)
        # A video packet cannot be dropped without breaking those behind it: when the output does
        # not come, the oldest goes ahead of it.
        return [self._held.popleft()] if len(self._held) > self._capacity else []

    def _due(self, time: Fraction) -> list[Packet]:
        due = [packet for packet in self._held if packet.pts * packet.time_base <= time]
        if due:
            self._held = deque(p for p in self._held if p.pts * p.time_base > time)
        return due
