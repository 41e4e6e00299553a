"""Makes a viewer's tracks leave in step. Pure: no clock, no loop."""

from collections import deque
from collections.abc import Callable, Collection
from fractions import Fraction

from streamsr.core.packet import AUDIO_TRACKS, Packet, Track

__all__ = ["AvSync"]

CAPACITY = 128  # packets held back: about 1.7 s of one video track and audio


class AvSync:
    """A broadcaster's subscriber: holds input and audio back until the output frame of their time.

    RTP gives each track a clock of its own, and the receiver ties them together by the wall time at
    which aiortc sent them (RFC 3550, 6.4.1). Whatever should be seen and heard together must
    therefore leave together, although upscaling takes time that the audio has not spent.
    """

    def __init__(
        self,
        tracks: Collection[Track],
        send: Callable[[Packet], None],
        ended: Callable[[], None] = lambda: None,
        capacity: int = CAPACITY,
    ) -> None:
        """``send`` takes each packet as it leaves and never waits; ``ended`` learns of the end."""
        self.tracks = frozenset(tracks)
        self.dropped = 0  # packets before the first frame of the output
        self.end = ended
        self._send = send
        self._capacity = capacity
        self._reached: Fraction | None = None  # presentation time of the newest output, seconds
        self._held: deque[tuple[Fraction, Packet]] = deque()  # with their presentation times

    def offer(self, packet: Packet) -> None:
        """Sends a packet, holds it back, or drops it where nothing has been seen yet."""
        time = packet.pts * packet.time_base
        if packet.track == Track.OUTPUT:
            self._offer_output(packet, time)
        elif self._reached is not None and time <= self._reached:
            self._send(packet)
        elif self._reached is None and packet.track in AUDIO_TRACKS:
            self.dropped += 1  # a viewer hears nothing before the first frame
        else:
            self._held.append((time, packet))
            # A video packet cannot be dropped without breaking those behind it: when the output
            # does not come, the oldest goes ahead of it.
            if len(self._held) > self._capacity:
                self._send(self._held.popleft()[1])

    def _offer_output(self, packet: Packet, time: Fraction) -> None:
        if self._reached is None and not packet.keyframe:
            self.dropped += 1
            return
        self._reached = time
        self._send(packet)
        held, self._held = self._held, deque()
        for entry in held:
            if entry[0] <= time:
                self._send(entry[1])
            else:
                self._held.append(entry)
