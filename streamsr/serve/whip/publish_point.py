"""Where a stream is published to, and from where its worker reads that: HTTP on loopback.

A worker decodes, the main process has the connection: packets go from here to there as NUT, a
container without any delay, which the worker opens as it opens a camera. Its address has a secret.
"""

import asyncio
import hmac
import io
import secrets
from contextlib import suppress
from typing import Self

import av

from streamsr.core.packet import AUDIO_TRACKS, Packet, Track
from streamsr.core.redact import protect_word
from streamsr.core.waiting import first_of
from streamsr.ipc.broadcaster import EndOfStream, Subscription
from streamsr.media.addresses import PUBLISHED
from streamsr.serve.whip.publisher import Publisher

__all__ = ["BusyError", "PublishPoint"]

HOST = "127.0.0.1"
HEAD_S = 5.0  # for a request to arrive
HEAD_BYTES = 8192
KEYFRAME_S = 1.0  # until it is asked for again: a request may be lost
CAPACITY = 256  # packets that the worker may be behind
ANSWER = (  # in chunks: without a length FFmpeg takes an end for a failure
    b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
REFUSAL = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
OPTIONS = {"flush_packets": "1", "max_interleave_delta": "1"}


class BusyError(Exception):
    """Somebody else publishes."""


class PublishPoint:
    """One stream's, while the ``async with`` lasts. One publisher at a time."""

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(24)
        protect_word(self._secret)
        self._server: asyncio.Server | None = None
        self._publisher: Publisher | None = None
        self._changed = asyncio.Event()  # there is a publisher

    @property
    def address(self) -> str:
        """What the worker is given to read."""
        assert self._server is not None, "it has been entered"
        port = self._server.sockets[0].getsockname()[1]
        return f"{PUBLISHED}+http://{HOST}:{port}/{self._secret}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0, limit=HEAD_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._publisher is not None:
            self._publisher.end("the stream ended")
        if self._server is not None:
            self._server.close()

    def claim(self, publisher: Publisher) -> None:
        """Makes it the one that publishes. Raises BusyError where there is one."""
        if self._publisher is not None:
            raise BusyError
        self._publisher = publisher
        self._changed.set()

    def release(self, publisher: Publisher) -> None:
        """Makes room for another one."""
        if self._publisher is publisher:
            self._publisher = None
            self._changed.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            _, path, *_ = head.split(b" ")  # ValueError: it is no request
            if hmac.compare_digest(path, f"/{self._secret}".encode()):
                writer.write(ANSWER)
                await first_of(self._send(writer), reader.read(), name="published packets")
            else:
                writer.write(REFUSAL)
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        """Sends what one publisher sends, to its end."""
        await self._changed.wait()
        publisher = self._publisher
        if publisher is None:
            return
        broadcaster = publisher.broadcaster
        packets = broadcaster.subscribe({Track.INPUT, Track.OPUS}, CAPACITY)
        try:
            await self._relay(publisher, packets, writer)
        except EndOfStream:
            writer.write(LAST_CHUNK)
        finally:
            broadcaster.unsubscribe(packets)

    async def _relay(
        self, publisher: Publisher, packets: Subscription, writer: asyncio.StreamWriter
    ) -> None:
        muxer: NutMuxer | None = None
        while True:
            try:
                async with asyncio.timeout(None if muxer is not None else KEYFRAME_S):
                    packet = await packets.receive()
            except TimeoutError:
                publisher.broadcaster.request_keyframe({Track.INPUT})
                continue
            if muxer is None and packet.track in AUDIO_TRACKS:
                continue
            muxer = muxer or NutMuxer(packet, audio=publisher.audio)
            data = muxer.muxed(packet)
            if data:  # an empty chunk would be the last
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await writer.drain()


class NutMuxer:
    """Packets of H.264 and Opus into the bytes of NUT."""

    def __init__(self, keyframe: Packet, *, audio: bool) -> None:
        self._sink = _Sink()
        self._out = av.open(self._sink, "w", format="nut", options=OPTIONS)
        with av.open(io.BytesIO(keyframe.data), format="h264") as probe:
            video = self._out.add_stream_from_template(probe.streams.video[0], opaque=True)
        video.time_base = keyframe.time_base
        self._video = video
        self._audio: av.AudioStream | None = None
        if audio:
            self._audio = self._out.add_stream("libopus", rate=48_000, layout="stereo")
        self._out.start_encoding()

    def muxed(self, packet: Packet) -> bytes:
        """Returns what is to be sent now that this packet is there."""
        stream = self._audio if packet.track in AUDIO_TRACKS else self._video
        if stream is not None:
            coded = av.Packet(packet.data)
            coded.pts = coded.dts = packet.pts
            coded.time_base = packet.time_base
            coded.is_keyframe = packet.keyframe
            coded.stream = stream
            self._out.mux(coded)
        return self._sink.taken()


class _Sink:
    """What FFmpeg writes to; it cannot seek."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
