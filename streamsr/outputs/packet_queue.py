"""What an output is still to get of a stream: its subscription, and perhaps the beginning again."""

import asyncio
from collections import deque
from fractions import Fraction

from streamsr.core.packet import Packet
from streamsr.ipc.broadcaster import Subscription

__all__ = ["Backlog"]


class Backlog:
    """Packets in order. With ``keep``, those that were taken are had again after ``rewind()``.

    So a server that is not there at first misses nothing; once it is, ``release()`` ends it.
    """

    def __init__(self, subscription: Subscription, *, keep: bool) -> None:
        self.subscription = subscription
        self.keeps = keep
        self._again: deque[Packet] = deque()  # to be had before what is new
        self._kept: list[Packet] = []
        self._paced = False
        self._begun_s: float | None = None  # loop time of the stream's second 0, where it is paced

    @property
    def dropped(self) -> int:
        """Packets that the subscription had no room for."""
        return self.subscription.dropped

    @property
    def held(self) -> int:
        """Packets that were taken from the subscription, and may be had again."""
        return len(self._again) + len(self._kept)

    async def receive(self) -> Packet:
        """Wait for the next packet. Raises EndOfStream once there will be none."""
        packet = self._again.popleft() if self._again else await self.subscription.receive()
        if self._paced:
            try:
                await self._due(packet.pts * packet.time_base)
            except asyncio.CancelledError:
                self._again.appendleft(packet)
                raise
        if self.keeps:
            self._kept.append(packet)
        return packet

    def rewind(self) -> None:
        """Begin again with the first packet that is kept."""
        self._again.extendleft(reversed(self._kept))
        self._kept.clear()
        self._paced = False

    def keep_pace(self) -> None:
        """Give packets at the stream's own pace from the next on, however late it is by now:
        servers drop what comes all at once."""
        self._paced, self._begun_s = True, None

    def release(self) -> None:
        """What was taken has arrived: keep nothing any more."""
        self.keeps = False
        self._kept.clear()

    async def _due(self, time_s: Fraction) -> None:
        """Wait for a packet's time, counted from the first one that was paced."""
        now_s = asyncio.get_running_loop().time()
        if self._begun_s is None:
            self._begun_s = now_s - float(time_s)
        await asyncio.sleep(max(0.0, self._begun_s + float(time_s) - now_s))
