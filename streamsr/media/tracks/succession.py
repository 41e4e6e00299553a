"""Streams that take the place of others: recordings joined byte by byte, each with its own ids."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections.abc import Iterable, Iterator
from typing import Any

import av
from av.stream import Stream

from streamsr.media.tracks.carried import Streams, name_of

__all__ = ["Succession"]

JOINED = ("mpegts",)  # formats whose files are whole when one is put behind another
ENDED = 250  # packets of another video, none of the one that is read: it has ended
HOLE = 2_000_000  # bytes between packets: more than stuffing, or what other programmes have
LAST = 3  # packets of a stream that FFmpeg may hold back to the end of the file
MOST_WAITING = 5000  # packets


class Succession:
    """Lets the packets of an open file through that are read: of the chosen streams, and of those
    that begin once the chosen video has ended, in their places.

    A video that begins beside the one that is read stays left out. Which it is shows later, so
    packets wait meanwhile, in their order.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        streams: Streams,
        left_out: list[str],
    ) -> None:
        """``left_out`` names what is not read, for people, and is kept up to date."""
        self._left_out = left_out
        self.video = streams.video  # the one that is read now
        self.heirs: dict[int, int] = {}  # index of a stream: of the first one in whose place it is
        self._late = 0  # packets that came once their stream's place was taken: they are left out
        self._chosen = streams.read
        self._replaced: list[Stream] = []
        joined = self._joined = container.format.name in JOINED
        self._read_to: int | None = None  # byte of the file
        self._holes = 0  # bytes
        self._rivals = [
            s
            for s in container.streams.video
            if joined and s not in self._chosen and s.codec_context is not None
        ]
        self._audio = [
            s
            for s in container.streams.audio
            if self._rivals and s not in self._chosen and s.codec_context is not None
        ]
        self.read: list[Stream] = [*self._chosen, *self._rivals, *self._audio]
        self._wanted = list(self._chosen)
        self._seen: set[int] = set()  # streams that have begun
        self._waiting: list[av.Packet[Any]] = []

    def packets(self, packets: Iterable[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Yields the packets that are read. ``video`` and ``heirs`` are those of the newest."""
        for packet in packets:
            self._note_hole(packet)
            yield from self._taken(packet)
        yield from self._ended()
        if self._holes:
            told = f"{self._holes / 1e6:.1f} MB of streams that its beginning and end do not name"
            self._left_out.append(told)
        if self._late:
            self._left_out.append(f"{self._late} packets at the end of joined recordings")

    def _note_hole(self, packet: av.Packet[Any]) -> None:
        """Counts what no packet is made of: streams that begin later PyAV hands on to nobody."""
        if not self._joined or packet.pos is None or not packet.size:
            return
        hole = packet.pos - (packet.pos if self._read_to is None else self._read_to)
        self._holes += hole if hole >= HOLE else 0
        self._read_to = max(self._read_to or 0, packet.pos + packet.size)

    def _taken(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        stream = packet.stream
        if not packet.size:
            yield from self._ended()
        elif self._waiting or self._may_begin(stream):
            self._waiting.append(packet)
            yield from self._decided()
            return
        self._seen.add(stream.index)
        if stream in self._wanted:
            yield packet
        elif packet.size and stream in self._replaced:
            self._late += 1

    def _may_begin(self, stream: Stream) -> bool:
        """Whether it is to be seen what a stream is, which has its first packet."""
        unseen = stream is not self.video and stream.index not in self._seen
        return unseen and bool(self._rivals)

    def _decided(self) -> Iterator[av.Packet[Any]]:
        """Yields what waits once it is clear whether the video goes on."""
        rivals = sum(packet.stream in self._rivals for packet in self._waiting)
        ours = sum(packet.stream is self.video for packet in self._waiting)
        if ours > (LAST if rivals else 0) or len(self._waiting) >= MOST_WAITING:
            yield from self._settled(ended=False)
        elif rivals >= ENDED:
            yield from self._settled(ended=True)

    def _ended(self) -> Iterator[av.Packet[Any]]:
        while self._waiting:
            yield from self._settled(ended=True)

    def _settled(self, *, ended: bool) -> Iterator[av.Packet[Any]]:
        """Yields what waits; where the video has ``ended``, another one takes its place."""
        waiting, self._waiting = self._waiting, []
        new = [packet for packet in waiting if packet.stream.index not in self._seen]
        first = next((packet for packet in new if packet.stream in self._rivals), None)
        before = waiting
        if first is not None and ended and self.video.index in self._seen:
            before = [packet for packet in waiting if packet not in new]
        else:
            first = None
        self._seen.update(packet.stream.index for packet in before)
        yield from (packet for packet in before if packet.stream in self._wanted)
        if first is None:
            return
        flush: av.Packet[Any] = av.Packet()
        flush.stream, flush.time_base = self.video, first.time_base
        yield flush
        self._replace(first.stream, [packet.stream for packet in new])
        yield from self._taken(first)  # it says where the others go
        for packet in new:
            if packet is not first:
                yield from self._taken(packet)

    def _replace(self, video: av.VideoStream, begun: list[Stream]) -> None:
        video.thread_type = "AUTO"
        ended, self.video = self.video, video
        self._rivals.remove(video)
        old = [s for s in self._wanted if s.type == "audio" and s.index in self._seen]
        new = list(dict.fromkeys(s for s in begun if s.type == "audio"))
        for before, after in [(ended, video), *zip(old, new, strict=False)]:
            self.heirs[after.index] = self.heirs.get(before.index, before.index)
            self._wanted = [s for s in self._wanted if s not in (before, after)] + [after]
            self._seen.add(after.index)
            self._replaced.append(before)
            if name_of(after) in self._left_out:
                self._left_out.remove(name_of(after))
