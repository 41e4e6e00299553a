"""The packets that one output is still to get, across its processes, and the count of those lost.

The queue between a stream and an output: bounded, so that the stream goes on whatever the output
does, and going on at a keyframe after it was full. With ``replay`` it keeps what it hands out.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from fractions import Fraction

from streamsr.core.packet import AUDIO_TRACKS, Packet, Track
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream, Subscription

__all__ = ["IN_FLIGHT", "PacketQueue"]

IN_FLIGHT = 64  # packets that a process may have before it
CAPACITY = 256  # packets: three seconds of a stream with audio
CAPACITY_OF_REPLAY = 4096


class PacketQueue:
    """A subscription to ``tracks`` of a stream. For each process: ``begin()``, ``end_process()``.

    With ``live`` a process gets the stream from its newest keyframe on, else from where the one
    before ended. With ``replay`` each gets it from the beginning, until ``delivered()``.
    """

    def __init__(
        self, broadcaster: Broadcaster, tracks: Collection[Track], *, live: bool, replay: bool
    ) -> None:
        self._broadcaster = broadcaster
        self._tracks = tracks
        self._live = live
        self._replay = replay
        self._capacity = CAPACITY_OF_REPLAY if replay else CAPACITY
        self._subscription: Subscription | None = None
        self._joined = False  # its first frame has come: what came before is no loss to live output
        self._skipped = 0  # packets from before that
        self._closed = False  # there is no more to come of the stream
        self._lost = 0  # packets of subscriptions and processes that have ended
        self._interrupted = False  # what is queued may begin anywhere
        self._again: deque[Packet] = deque()  # handed out before, and to be handed out again
        self._kept: list[Packet] = []  # handed out to this process
        self._paced = False
        self._epoch_s: float | None = None  # loop time of the stream's second 0, where it is paced
        self._handed_out = 0  # packets that this process was given
        self._taken = 0  # packets of those that it has taken
        self._moved = asyncio.Event()  # it has taken some

    @property
    def dropped(self) -> int:
        """Packets that were not delivered."""
        if self._subscription is None or not self._joined:
            return self._lost
        return self._lost + self._subscription.dropped - self._skipped

    def begin(self) -> None:
        """Begins with what the next process is to get."""
        if self._closed:
            return
        if self._subscription is None:
            self._subscription = self._broadcaster.subscribe(self._tracks, self._capacity)
            self._joined, self._skipped = not self._live or self._replay, 0
        elif self._interrupted:
            self._broadcaster.request_keyframe(self._tracks)
        self._interrupted = False

    async def receive(self) -> Packet:
        """Waits for the next packet, and until the process is not too far behind.

        Raises EndOfStream once there will be none.
        """
        if self._subscription is None:
            raise EndOfStream
        if self._replay and self._handed_out and not self._paced:
            await self._until_behind_by(0)  # the server is open then
            self._paced, self._epoch_s = True, None
        await self._until_behind_by(IN_FLIGHT - 1)
        packet = self._again.popleft() if self._again else await self._subscription.receive()
        if not self._joined and packet.track not in AUDIO_TRACKS:
            self._joined, self._skipped = True, self._subscription.dropped
        if self._paced:
            try:
                await self._due(packet.pts * packet.time_base)
            except asyncio.CancelledError:
                self._again.appendleft(packet)
                raise
        if self._replay:
            self._kept.append(packet)
        self._handed_out += 1
        return packet

    def taken(self, count: int) -> None:
        """Notes that the process has taken ``count`` packets in all."""
        self._taken = count
        self._moved.set()

    def delivered(self) -> None:
        """Notes that what was handed out has arrived: it is kept no more."""
        self._replay = False
        self._kept.clear()

    def end_process(self) -> None:
        """Counts what a process had and did not take, unless the next one gets it again."""
        if self._replay:
            self._again.extendleft(reversed(self._kept))
            self._kept.clear()
        else:
            self._lost += self._handed_out - self._taken
            self._interrupted = True
            if self._live:
                self.end()
        self._handed_out = self._taken = 0
        self._paced = False

    def close(self) -> None:
        """Takes no more of the stream: what is queued is the last of it."""
        self._closed = True
        if self._subscription is not None:
            self._broadcaster.unsubscribe(self._subscription)

    def end(self) -> None:
        """Leaves the stream, and counts what is still queued as lost."""
        self._lost = self.dropped + len(self._again) + len(self._kept)
        if self._subscription is not None:
            self._broadcaster.unsubscribe(self._subscription)
            self._lost += self._subscription.queued
        self._subscription = None
        self._again.clear()
        self._kept.clear()

    async def _until_behind_by(self, count: int) -> None:
        """Waits until the process has at most ``count`` packets that it did not take."""
        while self._handed_out - self._taken > count:
            self._moved.clear()
            await self._moved.wait()

    async def _due(self, time_s: Fraction) -> None:
        """Waits for a packet's time, counted from the first one that was paced.

        Servers drop what comes all at once.
        """
        now_s = asyncio.get_running_loop().time()
        if self._epoch_s is None:
            self._epoch_s = now_s - float(time_s)
        await asyncio.sleep(max(0.0, self._epoch_s + float(time_s) - now_s))
