"""What a worker process and the main process say to each other: framed messages, and no pixels.

A message's body begins with its stream's name (1 byte of length, UTF-8); what follows is JSON, but
for packets.
"""

import asyncio
import json
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from streamsr.core.events import Code, Event
from streamsr.core.packet import Packet
from streamsr.core.status import StreamStatus
from streamsr.ipc.framing import framed, packet_of, packet_parts, read_frame

__all__ = ["Kind", "Message", "decode", "encode", "encode_packet", "read"]


class Kind(Enum):
    """Who says it, and what. All but QUIT and ALIVE are about one stream."""

    START = b"S"  # main: a stream's settings
    TRACKS = b"W"  # main: the tracks that somebody wants from now on
    KEYFRAME = b"K"  # main: make the next pictures keyframes
    MODEL = b"M"  # main: go on with this model; worker: it does
    STOP = b"O"  # main: deliver what was read, then end the stream
    QUIT = b"Q"  # main: stop every stream, then end
    ALIVE = b"A"  # worker, twice a second
    PACKET = b"P"  # worker
    STATUS = b"T"  # worker, twice a second
    EVENT = b"E"  # worker
    SUMMARY = b"R"  # worker, at a stream's end
    FAILURE = b"F"  # worker, at a stream's end: it can't do what it was asked


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``body`` is what its kind carries."""

    kind: Kind
    stream: str = ""
    body: Any = None  # Packet, StreamStatus, Event, or what JSON holds


def encode(message: Message) -> bytes:
    """Frame a message."""
    body = message.body
    if isinstance(body, Packet):
        return encode_packet(message.stream, body)
    if isinstance(body, StreamStatus | Event):
        body = asdict(body)
    return _framed(message.kind, message.stream, json.dumps(body).encode())


def encode_packet(stream: str, packet: Packet) -> bytes:
    return _framed(Kind.PACKET, stream, *packet_parts(packet))


def decode(frame: bytes) -> Message:
    """Take a framed message apart, its length left off."""
    kind, end = Kind(frame[:1]), 2 + frame[1]
    stream, body = frame[2:end].decode(), frame[end:]
    if kind is Kind.PACKET:
        return Message(kind, stream, packet_of(body))
    value = json.loads(body)
    if kind is Kind.STATUS:
        value = StreamStatus(**value)
    elif kind is Kind.EVENT:
        value = Event(Code(value["code"]), value["stream"], value["message"])
    return Message(kind, stream, value)


async def read(reader: asyncio.StreamReader) -> Message | None:
    """Read the next message; None at the end. Raises StreamsrError for one that is too long."""
    frame = await read_frame(reader)
    return None if frame is None else decode(frame)


def _framed(kind: Kind, stream: str, *parts: bytes) -> bytes:
    name = stream.encode()
    return framed(kind.value, bytes([len(name)]), name, *parts)
