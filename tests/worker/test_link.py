"""What a worker sends of a stream, read at the other end of a socket pair."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from peers.waiting import until

from streamsr.core.events import Code, Event
from streamsr.core.packet import Packet, Track
from streamsr.ipc.framing import read
from streamsr.ipc.messages import Heartbeat, Message, StreamFormat, StreamPacket
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.worker.link import Link, LinkSink

INFO = SourceInfo(320, 180, Fraction(25), Fraction(1), "h264", "yuv420p", audio_codec="aac")
SIZE = (1280, 720)


def packet(number: int, *, keyframe: bool = False, size: int = 8) -> Packet:
    return Packet(Track.OUTPUT, bytes(size), number, Fraction(1, 25), keyframe)


class Ends:
    """A link, and the messages that have arrived at its other end."""

    def __init__(
        self, link: Link, reader: asyncio.StreamReader, other: asyncio.StreamWriter
    ) -> None:
        self.link = link
        self.arrived: list[Message] = []
        self.events: list[Event] = []
        self._reader = reader
        self._other = other

    def hang_up(self) -> None:
        self._other.transport.abort()

    def sink(self, track: Track) -> LinkSink:
        return LinkSink(self.link, "cam:1", "cam", frozenset({track}), self.events.append)

    async def read(self, count: int) -> None:
        for _ in range(count):
            message = await read(self._reader)
            assert message is not None
            self.arrived.append(message)


@asynccontextmanager
async def linked(unsent_bytes: int = 8 * 2**20) -> AsyncIterator[Ends]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    _, writer = await asyncio.open_connection(sock=ours)
    reader, other = await asyncio.open_connection(sock=theirs, limit=4096)
    try:
        async with asyncio.timeout(20):
            yield Ends(Link(writer, unsent_bytes), reader, other)
    finally:
        for end in (writer, other):
            end.transport.abort()


async def test_the_format_comes_before_the_first_packet_and_when_it_changes() -> None:
    async with linked() as ends:
        sink = ends.sink(Track.OUTPUT)
        sink.video(packet(0, keyframe=True), INFO, SIZE)
        sink.video(packet(1), INFO, SIZE)
        sink.video(packet(2), replace(INFO, audio_codec=""), SIZE)
        await ends.read(5)
    formats = [message for message in ends.arrived if isinstance(message, StreamFormat)]
    assert formats == [
        StreamFormat("cam:1", Fraction(25), 1280, 720, True),
        StreamFormat("cam:1", Fraction(25), 1280, 720, False),
    ]
    assert ends.arrived[0] is formats[0]
    assert [type(message) for message in ends.arrived[1:3]] == [StreamPacket, StreamPacket]
    assert ends.arrived[3] is formats[1]


async def test_a_recording_that_nobody_watches_has_a_format() -> None:
    async with linked() as ends:
        sink = ends.sink(Track.RECORD)
        sink.video(replace(packet(0, keyframe=True), track=Track.RECORD), INFO, SIZE)
        await ends.read(2)
    assert ends.arrived[0] == StreamFormat("cam:1", Fraction(25), 1280, 720, True)


async def test_audio_that_is_wanted_is_encoded_once_the_format_is_known() -> None:
    silence = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), "fltp", "stereo")
    silence.sample_rate = 48_000
    async with linked() as ends:
        sink = ends.sink(Track.AAC)
        sink.audio(AudioFrame(0.0, "", samples=silence))
        sink.video(packet(0, keyframe=True), INFO, SIZE)
        sink.audio(AudioFrame(0.1, "", samples=silence))
        await ends.read(3)
    assert isinstance(ends.arrived[0], StreamFormat)
    tracks = [m.packet.track for m in ends.arrived if isinstance(m, StreamPacket)]
    assert tracks == [Track.OUTPUT, Track.AAC]


async def test_what_is_sent_to_a_main_process_that_is_gone_is_left_out_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with linked() as ends:
        ends.hang_up()
        for _ in range(20):
            ends.link.send(Heartbeat())
            await asyncio.sleep(0)
    assert not caplog.records


async def test_a_main_process_that_does_not_read_loses_packets_up_to_a_keyframe() -> None:
    async with linked(unsent_bytes=10_000) as ends:
        sink = ends.sink(Track.OUTPUT)
        for number in range(40):
            sink.video(packet(number, keyframe=number % 10 == 0, size=2000), INFO, SIZE)
        await asyncio.sleep(0)
        reading = asyncio.create_task(ends.read(200))
        await until(lambda: len(ends.arrived) > 4)
        sink.video(packet(41, size=2000), INFO, SIZE)
        sink.video(packet(50, keyframe=True, size=2000), INFO, SIZE)
        ends.link.send(Heartbeat())
        await until(lambda: Heartbeat() in ends.arrived)
        reading.cancel()
    numbers = [m.packet.pts for m in ends.arrived if isinstance(m, StreamPacket)]
    assert numbers == [*range(len(numbers) - 1), 50], "what came did so without a gap, then a key"
    assert [event.code for event in ends.events] == [Code.OVERLOAD]
    assert ends.events[0].message.endswith(f"{41 - (len(numbers) - 1)} packets were dropped")
