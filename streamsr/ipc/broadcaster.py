"""Fan-out of packets to viewers and publishers: every subscriber has its own short queue.

A slow subscriber never delays the others: when its queue is full it is emptied, and its video goes
on at the next keyframe. All of it runs in one event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection

from streamsr.core.packet import AUDIO_TRACKS, Packet

__all__ = ["Broadcaster", "EndOfStream", "Subscription"]

KEYFRAME_INTERVAL_S = 0.5  # a keyframe costs every subscriber bandwidth, whoever asked for it


class EndOfStream(Exception):  # noqa: N818 - an end is not a failure
    """The stream has ended: there will be no more packets."""


class Subscription:
    """One subscriber's queue over some of a stream's tracks."""

    def __init__(self, tracks: Collection[str], capacity: int, starved: Callable[[], None]) -> None:
        self.tracks = frozenset(tracks)
        self.dropped = 0  # packets that were queued and thrown away, or skipped for a keyframe
        self._capacity = capacity
        self._starved = starved  # asks the encoders for a keyframe
        self._queue: deque[Packet] = deque()
        self._waiting = set(self.tracks - AUDIO_TRACKS)  # for their keyframe
        self._arrived = asyncio.Event()
        self._ended = False

    async def receive(self) -> Packet:
        """Wait for the next packet. Raises EndOfStream once there will be none."""
        while not self._queue:
            if self._ended:
                raise EndOfStream
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    def offer(self, packet: Packet) -> None:
        """Queue a packet, unless its track is waiting for a keyframe; never waits."""
        if len(self._queue) >= self._capacity:
            self.dropped += len(self._queue)
            self._queue.clear()
            self._waiting |= self.tracks - AUDIO_TRACKS
            self._starved()
        if packet.track in self._waiting:
            if not packet.keyframe:
                self.dropped += 1
                return
            self._waiting.discard(packet.track)
        self._queue.append(packet)
        self._arrived.set()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()


class Broadcaster:
    """A stream's packets on their way to whoever subscribed."""

    def __init__(
        self,
        request_keyframe: Callable[[], None],
        wanted: Callable[[frozenset[str]], None] = lambda tracks: None,
    ) -> None:
        """``wanted`` is told the tracks that have subscribers, whenever that changes."""
        self._request_keyframe = request_keyframe
        self._tell_wanted = wanted
        self.wanted: frozenset[str] = frozenset()  # the tracks that have subscribers
        self._subscriptions: set[Subscription] = set()
        self._asked_s = float("-inf")  # loop time of the newest request
        self._asking: asyncio.TimerHandle | None = None  # a request that waits for its turn
        self._closed = False

    def __len__(self) -> int:
        return len(self._subscriptions)

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""
        return self._closed

    def publish(self, packet: Packet) -> None:
        """Hand a packet to every subscriber of its track."""
        for subscription in self._subscriptions:
            if packet.track in subscription.tracks:
                subscription.offer(packet)

    def subscribe(self, tracks: Collection[str], capacity: int = 16) -> Subscription:
        """Start receiving ``tracks``, video from a keyframe on, which is asked for now."""
        subscription = Subscription(tracks, capacity, self.request_keyframe)
        if self._closed:
            subscription.end()
            return subscription
        self._subscriptions.add(subscription)
        self._note_wanted()
        self.request_keyframe()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        subscription.end()
        self._note_wanted()

    def request_keyframe(self) -> None:
        """Ask the encoders for a keyframe: now, or as soon as the last request is 0.5 s old.

        A request is put off but never lost, as whoever asks cannot decode before it is met.
        """
        if self._asking is not None or self._closed:
            return
        loop = asyncio.get_running_loop()
        wait_s = self._asked_s + KEYFRAME_INTERVAL_S - loop.time()
        if wait_s > 0:
            self._asking = loop.call_later(wait_s, self._ask)
        else:
            self._ask()

    def close(self) -> None:
        """End every subscription, and those to come."""
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        for subscription in list(self._subscriptions):
            self.unsubscribe(subscription)

    def _note_wanted(self) -> None:
        wanted = frozenset[str]().union(*(s.tracks for s in self._subscriptions))
        if wanted != self.wanted:
            self.wanted = wanted
            self._tell_wanted(wanted)

    def _ask(self) -> None:
        self._asking = None
        self._asked_s = asyncio.get_running_loop().time()
        self._request_keyframe()
