"""Messages survive the way between processes, and a broken stream of them ends cleanly."""

import asyncio
from fractions import Fraction

import pytest

from streamsr.core.errors import StreamsrError
from streamsr.core.events import Code, Event
from streamsr.core.packet import Packet, Track
from streamsr.core.status import StreamStatus
from streamsr.ipc.messages import Kind, Message, encode, read

MESSAGES = [
    Message(Kind.START, "x:1", {"settings": {"name": "x"}, "tracks": ["output"]}),
    Message(Kind.QUIT),
    Message(
        Kind.PACKET, "x:1", Packet(Track.OUTPUT, b"\0\0\1\x65", 2**40, Fraction(1, 90_000), True)
    ),
    Message(Kind.PACKET, "y:2", Packet(Track.INPUT, b"", 0, Fraction(1, 25), False)),
    Message(Kind.PACKET, "y:2", Packet(Track.OPUS, bytes(500), -960, Fraction(1, 48_000), True)),
    Message(Kind.PACKET, "y:2", Packet(Track.AAC, bytes(500), -960, Fraction(1, 48_000), True)),
    Message(Kind.STATUS, "x:1", StreamStatus("x", "live", "fast", "cpu", "1x1", "4x4", fps=25.0)),
    Message(Kind.EVENT, "x:1", Event(Code.SRC_DOWN, "x", "gone")),
    Message(Kind.FAILURE, "x" * 64 + ":10", {"message": "no", "exit_code": 2}),
]


async def test_messages_arrive_as_they_were_sent() -> None:
    reader = asyncio.StreamReader()
    for message in MESSAGES:
        reader.feed_data(encode(message))
    reader.feed_eof()
    assert [await read(reader) for _ in MESSAGES] == MESSAGES
    assert await read(reader) is None


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_message_cut_short_is_an_end(cut: int) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(encode(MESSAGES[2])[:cut])
    reader.feed_eof()
    assert await read(reader) is None


async def test_a_length_beyond_reason_is_refused() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\xff\xff\xff\xffP")
    with pytest.raises(StreamsrError, match="allowed are"):
        await read(reader)
