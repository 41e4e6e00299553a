"""The worker's end of the socket to the main process: messages out, in order, never waiting."""

import asyncio
from collections import Counter
from typing import Protocol

from streamsr.core.events import Code, Emit, Event
from streamsr.core.packet import AUDIO_TRACKS, Packet, Track
from streamsr.ipc.framing import encode
from streamsr.ipc.messages import Message, StreamFormat, StreamPacket
from streamsr.media.audio import AudioEncoder
from streamsr.media.source import AudioFrame, Piece, SourceInfo

__all__ = ["Link", "LinkSink", "MainLink"]

UNSENT_BYTES = 8 * 1024 * 1024  # beyond it packets are dropped up to the next keyframe
CODECS = {Track.OPUS: "libopus", Track.AAC: "aac"}


class MainLink(Protocol):
    """What takes a worker's messages: the main process, or what runs the worker in its own."""

    loop: asyncio.AbstractEventLoop

    @property
    def full(self) -> bool:
        """Whether the main process is far behind."""

    def send(self, message: Message) -> None:
        """Hands a message on. Any thread may call it."""

    def write(self, message: Message) -> None:
        """Hands a message on at once. Call it in the loop."""


class Link:
    """The socket to the main process. Any thread may ``send``, the event loop alone ``write``."""

    def __init__(self, writer: asyncio.StreamWriter, unsent_bytes: int = UNSENT_BYTES) -> None:
        self.loop = asyncio.get_running_loop()
        self._unsent_bytes = unsent_bytes
        self._writer = writer

    @property
    def full(self) -> bool:
        """Whether the main process is far behind."""
        return self._writer.transport.get_write_buffer_size() > self._unsent_bytes

    def send(self, message: Message) -> None:
        self.loop.call_soon_threadsafe(self.write, message)

    def write(self, message: Message) -> None:
        if not self._writer.is_closing():  # asyncio would log every message that comes after
            self._writer.write(encode(message))


class LinkSink:
    """One stream's packets on their way over the link: of the tracks that have subscribers."""

    def __init__(
        self, link: MainLink, key: str, name: str, tracks: frozenset[Track], emit: Emit
    ) -> None:
        self.tracks = tracks
        self.keeps_all = False
        self.not_kept: list[str] = []
        self._emit = emit
        self._link = link
        self._key = key
        self._name = name
        self._format: StreamFormat | None = None  # as it was sent last
        self._encoders: dict[Track, AudioEncoder] = {}
        self._dropped: Counter[Track] = Counter()  # since the track last got through

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        """Sends a packet, and before it what the stream is where that has changed."""
        if packet.track is not Track.INPUT:  # which has another size
            now = StreamFormat(self._key, info.rate, *size, audio=bool(info.audio_codec))
            if now != self._format:
                self._format = now
                self._link.send(now)
        self._send(packet)

    def audio(self, audio: AudioFrame) -> None:
        if self._format is None:  # the format goes first, with the first frame
            return
        for track in self.tracks & AUDIO_TRACKS:
            if track not in self._encoders:
                self._encoders[track] = AudioEncoder(CODECS[track])
            for packet in self._encoders[track].encode(audio):
                assert packet.pts is not None
                self._send(Packet(track, bytes(packet), packet.pts, packet.time_base, True))

    def other(self, piece: Piece) -> None:
        """Leaves out what only a file keeps."""

    def close(self) -> None:
        """Does nothing: the link is its owner's."""

    def _send(self, packet: Packet) -> None:
        self._link.loop.call_soon_threadsafe(self._write, packet)

    def _write(self, packet: Packet) -> None:
        """Writes a packet, unless the main process is far behind; says how many it missed."""
        if self._link.full or (packet.track in self._dropped and not packet.keyframe):
            self._dropped[packet.track] += 1
            return
        if lost := self._dropped.pop(packet.track, 0):
            message = f"the main process is too slow: {lost} packets were dropped"
            self._emit(Event(Code.OVERLOAD, self._name, message))
        self._link.write(StreamPacket(self._key, packet))
