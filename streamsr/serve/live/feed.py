"""The fragments of one stream's track: made once, and only while somebody wants them."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Protocol

from streamsr.core.packet import Packet, Track
from streamsr.ipc.broadcaster import Broadcaster, EndingQueue
from streamsr.ipc.frame_traces import FrameTraces
from streamsr.serve.live.fragmenter import Fragmenter, MediaFragment
from streamsr.serve.served import Served

__all__ = ["Feed", "Feeds", "FragmentQueue", "Reader"]

CAPACITY = 128  # fragments: five seconds of 25 frames a second
USUAL_RATE = Fraction(25)  # frames a second, where a stream says nothing of it


class Reader(Protocol):
    """What is handed every fragment, until the stream ends."""

    def offer(self, fragment: MediaFragment) -> None: ...  # never waits, never raises
    def end(self) -> None: ...  # called once or more


class FragmentQueue(EndingQueue[MediaFragment]):
    """A reader with a bounded queue: full, it is emptied, and goes on at the next keyframe."""

    def __init__(self, request_keyframe: Callable[[], None]) -> None:
        super().__init__()
        self._request_keyframe = request_keyframe
        self._waits = True  # for a keyframe

    def offer(self, fragment: MediaFragment) -> None:
        if self.queued >= CAPACITY:
            self._drop_all()
            self._waits = True
            self._request_keyframe()
        if self._waits and not fragment.keyframe:
            self.dropped += 1
            return
        self._waits = False
        self._put(fragment)


class Feed:
    """A broadcaster's subscriber that makes fragments for its readers.

    With the first one it begins, with the last one it ends: without any it costs nothing.
    """

    def __init__(self, broadcaster: Broadcaster, track: Track, *, audio: bool) -> None:
        self.tracks = frozenset({track, Track.AAC} if audio else {track})
        self._audio = audio
        self._broadcaster = broadcaster
        self._track = track
        self._fragmenter = Fragmenter()
        self._readers: set[Reader] = set()

    @property
    def traces(self) -> FrameTraces:
        return self._broadcaster.traces

    def __len__(self) -> int:
        return len(self._readers)

    def add(self, reader: Reader) -> None:
        """Hands it fragments from now on, a keyframe among the next ones; ends it with the
        stream."""
        if self._broadcaster.closed:
            reader.end()
            return
        self._readers.add(reader)
        if len(self._readers) == 1:
            self._fragmenter = Fragmenter()
            self._broadcaster.add(self)
        else:
            self.request_keyframe()

    def remove(self, reader: Reader) -> None:
        self._readers.discard(reader)
        if not self._readers:
            self._broadcaster.unsubscribe(self)

    def request_keyframe(self) -> None:
        self._broadcaster.request_keyframe({self._track})

    def offer(self, packet: Packet) -> None:
        """Takes a packet of the broadcaster's."""
        stream = self._broadcaster.format
        rate, audio = (stream.rate, stream.audio) if stream is not None else (USUAL_RATE, False)
        audio = audio and self._audio
        for fragment in self._fragmenter.take(packet, rate, audio=audio):
            for reader in self._readers:
                reader.offer(fragment)

    def end(self) -> None:
        """Ends the readers: the stream has ended, or nobody is left."""
        for reader in self._readers:
            reader.end()


class Feeds:
    """The feeds of all streams."""

    def __init__(self, streams: Mapping[str, Served]) -> None:
        self._streams = streams
        self._feeds: dict[tuple[str, Track, bool], tuple[Broadcaster, Feed]] = {}

    def find(self, stream: str, track: Track, *, audio: bool = True) -> Feed | None:
        """The feed of a stream that runs, its audio left out or not; None of any other."""
        served = self._streams.get(stream)
        key = stream, track, audio
        self._feeds = {k: known for k, known in self._feeds.items() if not known[0].closed}
        if served is None or served.broadcaster.closed:
            return None
        known = self._feeds.get(key)
        if known is None or known[0] is not served.broadcaster:  # it was begun again
            feed = Feed(served.broadcaster, track, audio=audio)
            known = self._feeds[key] = served.broadcaster, feed
        return known[1]
