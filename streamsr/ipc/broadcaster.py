"""Fan-out of a stream's packets to its subscribers, all in one event loop.

A subscriber takes each packet at once and never waits: a slow one cannot delay the others.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Generic, Protocol, TypeVar

from streamsr.core.packet import AUDIO_TRACKS, Packet, Track
from streamsr.ipc.frame_traces import FrameTraces
from streamsr.ipc.messages import StreamFormat

__all__ = ["Broadcaster", "EndOfStream", "EndingQueue", "Subscriber", "Subscription"]

Item = TypeVar("Item")

KEYFRAME_INTERVAL_S = 0.5  # a keyframe costs every subscriber bandwidth, whichever asked for it


VIEWED = frozenset({Track.OUTPUT, Track.INPUT})  # video that viewers get


class EndOfStream(Exception):  # noqa: N818 - an end is not a failure
    """The stream has ended: there will be no more packets."""


class Subscriber(Protocol):
    """What a broadcaster hands the packets of its ``tracks`` to, until it ends it."""

    @property
    def tracks(self) -> frozenset[Track]: ...
    def offer(self, packet: Packet) -> None: ...  # never waits, never raises
    def end(self) -> None: ...  # called once or more


class EndingQueue(Generic[Item]):
    """Items that one task receives in order until their end; whoever puts them never waits."""

    def __init__(self) -> None:
        self.dropped = 0  # items that were put and thrown away, or left out
        self._queue: deque[Item] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def queued(self) -> int:
        """Items that wait to be received."""
        return len(self._queue)

    async def receive(self) -> Item:
        """Waits for the next item. Raises EndOfStream once there will be none."""
        while not self._queue:
            if self._ended:
                raise EndOfStream
            self._changed.clear()
            await self._changed.wait()
        return self._queue.popleft()

    def end(self) -> None:
        """Makes what was put the last."""
        self._ended = True
        self._changed.set()

    def _put(self, item: Item) -> None:
        self._queue.append(item)
        self._changed.set()

    def _drop_all(self) -> None:
        self.dropped += len(self._queue)
        self._queue.clear()


class Subscription(EndingQueue[Packet]):
    """A bounded queue of packets: a subscriber that is read with ``receive()``.

    When it is full it is emptied, and its video goes on at the next keyframe, which is asked for.
    """

    def __init__(
        self, tracks: Collection[Track], capacity: int, request_keyframe: Callable[[], None]
    ) -> None:
        super().__init__()
        self.tracks = frozenset(tracks)
        self._capacity = capacity
        self._request_keyframe = request_keyframe
        self._waiting = set(self.tracks - AUDIO_TRACKS)  # video tracks that need a keyframe

    def offer(self, packet: Packet) -> None:
        """Queues a packet, unless its track is waiting for a keyframe; never waits."""
        if self.queued >= self._capacity:
            self._drop_all()
            self._waiting |= self.tracks - AUDIO_TRACKS
            if self._waiting:
                self._request_keyframe()
        if packet.track in self._waiting:
            if not packet.keyframe:
                self.dropped += 1
                return
            self._waiting.discard(packet.track)
        self._put(packet)


class Broadcaster:
    """Hands a stream's packets to its subscribers, and asks its encoders for keyframes."""

    def __init__(
        self,
        request_keyframe: Callable[[frozenset[Track]], None],
        wanted: Callable[[frozenset[Track]], None] = lambda tracks: None,
        keyframe_interval_s: float = KEYFRAME_INTERVAL_S,
    ) -> None:
        """``request_keyframe`` is told the tracks that need one, and ``wanted`` those that have
        subscribers, whenever that changes."""
        self._request_keyframe = request_keyframe
        self._tell_wanted = wanted
        self._keyframe_interval_s = keyframe_interval_s
        self.format: StreamFormat | None = None  # what the stream is; set before its first packet
        self.wanted: frozenset[Track] = frozenset()  # the tracks that have subscribers
        self.closed = False  # the stream has ended
        self.traces = FrameTraces()  # of the frames that were published
        self._subscribers: set[Subscriber] = set()
        self._requested: frozenset[Track] = frozenset()  # tracks that need a keyframe
        self._requested_s = float("-inf")  # loop time of the newest request
        self._delayed: asyncio.TimerHandle | None = None  # a request that is not due yet

    def __len__(self) -> int:
        return len(self._subscribers)

    def publish(self, packet: Packet) -> None:
        """Hands a packet to every subscriber of its track."""
        self.traces.note(packet)
        for subscriber in self._subscribers:
            if packet.track in subscriber.tracks:
                subscriber.offer(packet)

    def add(self, subscriber: Subscriber) -> None:
        """Starts handing it packets; a keyframe is asked for. Ends it if the stream has ended."""
        if self.closed:
            subscriber.end()
            return
        self._subscribers.add(subscriber)
        self._note_wanted()
        self.request_keyframe(subscriber.tracks)

    def subscribe(self, tracks: Collection[Track], capacity: int = 16) -> Subscription:
        """Adds a queue of ``capacity`` packets for ``tracks``; video begins at a keyframe."""
        request = partial(self.request_keyframe, frozenset(tracks))
        subscription = Subscription(tracks, capacity, request)
        self.add(subscription)
        return subscription

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Ends a subscriber of either kind, and hands it nothing more."""
        self._subscribers.discard(subscriber)
        subscriber.end()
        self._note_wanted()

    def request_keyframe(self, tracks: Collection[Track] = VIEWED) -> None:
        """Asks the encoders of tracks for a keyframe: now, or once the last request is 0.5 s old.

        A request is delayed but never lost: without it a subscriber cannot decode what follows.
        """
        self._requested |= frozenset(tracks) - AUDIO_TRACKS
        if self._delayed is not None or self.closed:
            return
        loop = asyncio.get_running_loop()
        wait_s = self._requested_s + self._keyframe_interval_s - loop.time()
        if wait_s > 0:
            self._delayed = loop.call_later(wait_s, self._request_now)
        else:
            self._request_now()

    def close(self) -> None:
        """Ends every subscriber, and those that are added later."""
        self.closed = True
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None
        for subscriber in list(self._subscribers):
            self.unsubscribe(subscriber)

    def _note_wanted(self) -> None:
        wanted = frozenset[Track]().union(*(s.tracks for s in self._subscribers))
        if wanted != self.wanted:
            self.wanted = wanted
            self._tell_wanted(wanted)

    def _request_now(self) -> None:
        self._delayed = None
        self._requested_s = asyncio.get_running_loop().time()
        tracks, self._requested = self._requested, frozenset()
        self._request_keyframe(tracks)
