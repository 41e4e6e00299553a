"""Messages between processes, through the bytes that they travel as."""

import asyncio
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from streamsr.core.errors import StreamsrError
from streamsr.core.events import Code, Event
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputState, StreamState, StreamStatus
from streamsr.ipc.framing import MAX_BYTES, encode, read, take
from streamsr.ipc.messages import (
    FinishOutput,
    Heartbeat,
    Message,
    OutputFormat,
    OutputPacket,
    OutputProgress,
    Snapshot,
    StartHls,
    StartRecorder,
    StartStream,
    StreamEvent,
    StreamFailed,
    StreamFormat,
    StreamPacket,
    StreamReport,
    WantTracks,
)

PACKET = Packet(Track.OUTPUT, b"\x00\x00\x01\xff", -3, Fraction(1, 90_000), True)
SETTINGS = StreamSettings.model_validate(
    {"name": "cam", "input": {"url": "demo"}, "output": {"path": "out.mp4"}}
)
STATUS = StreamStatus("cam", StreamState.LIVE, "fast", "cpu", "320x180", "1280x720", 7, 6, 1)
MESSAGES: list[Message] = [
    StartStream("cam:1", SETTINGS.model_dump_json(), frozenset({Track.OUTPUT, Track.INPUT})),
    WantTracks("cam:1", frozenset()),
    Heartbeat(),
    StreamFormat("cam:1", Fraction(30_000, 1001), 1280, 720, True),
    StreamPacket("cäm:1", PACKET),
    StreamReport("cam:1", replace(STATUS, dropped_by={"late": 1}, latency_p50_ms=12.5)),
    StreamEvent("cam:1", Event(Code.SRC_DOWN, "cam", "it is tried again")),
    StreamFailed("cam:1", "no such file", None),
    Snapshot("cam:1", bytes(range(256))),
    StartHls(Path("a folder"), 2.0, 6),
    StartRecorder("cam", Path("recordings"), 600.0, None, 10**9),
    StartRecorder("cam", Path("caf\udce9"), 600.0, None, 10**9),
    OutputFormat(Fraction(25), False),
    OutputPacket(PACKET),
    FinishOutput(),
    OutputProgress(OutputState.UP, 12),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    buffer = bytearray(encode(message))
    assert take(buffer) == message
    assert not buffer


def test_a_message_is_taken_once_it_is_whole() -> None:
    data = encode(OutputPacket(PACKET)) + encode(FinishOutput())
    buffer = bytearray()
    taken = []
    for byte in data:
        buffer.append(byte)
        if (message := take(buffer)) is not None:
            taken.append(message)
    assert taken == [OutputPacket(PACKET), FinishOutput()]


async def test_messages_are_read_to_the_end_of_the_stream() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(encode(Heartbeat()) + encode(OutputPacket(PACKET))[:-1])
    reader.feed_eof()
    assert await read(reader) == Heartbeat()
    assert await read(reader) is None  # the process was killed in the middle of a message


@pytest.mark.parametrize("length", [0, MAX_BYTES + 1])
async def test_a_length_that_cannot_be_is_refused(length: int) -> None:
    head = length.to_bytes(4, "big")
    reader = asyncio.StreamReader()
    reader.feed_data(head)
    with pytest.raises(StreamsrError, match=f"got {length} bytes"):
        await read(reader)
    with pytest.raises(StreamsrError, match="allowed are 1 to"):
        take(bytearray(head))


@pytest.mark.parametrize("fields", [b"", b"\x80", b"\x90", b"\x81\xa3key", b"\xc1"])
def test_bytes_that_are_no_message_are_refused(fields: bytes) -> None:
    body = encode(WantTracks("cam:1", frozenset()))[4:5] + fields
    with pytest.raises(ValueError, match=r"Expected `obj|missing required|truncated|malformed"):
        take(bytearray(len(body).to_bytes(4, "big") + body))


def test_an_unknown_class_of_message_is_refused() -> None:
    with pytest.raises(ValueError, match="got class 255, allowed are 0 to"):
        take(bytearray(b"\x00\x00\x00\x01\xff"))


def test_what_no_message_holds_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="a complex cannot be sent"):
        encode(StreamFailed("cam:1", 1j, None))  # type: ignore[arg-type]
