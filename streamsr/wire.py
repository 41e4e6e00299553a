"""What a worker process and the main process say to each other: framed messages, and no pixels.

A message is its length (4 bytes, big endian), its kind (1 byte) and its body: JSON, but for
packets, whose body is a fixed head and the data.
"""

import asyncio
import json
import struct
from dataclasses import asdict, dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from streamsr.errors import StreamsrError
from streamsr.events import Code, Event
from streamsr.packet import AUDIO, INPUT, OUTPUT, Packet
from streamsr.status import StreamStatus

__all__ = ["Kind", "Message", "decode", "encode", "encode_packet", "read"]

MAX_BYTES = 64 * 1024 * 1024
_TRACKS = (OUTPUT, INPUT, AUDIO)
_HEAD = struct.Struct("!BBqII")  # track, keyframe, pts, time base


class Kind(Enum):
    """Who says it, and what."""

    SETTINGS = b"S"  # main, once: what to run
    KEYFRAME = b"K"  # main: make the next pictures keyframes
    STOP = b"Q"  # main: deliver what was read, then end
    PACKET = b"P"  # worker
    STATUS = b"T"  # worker, twice a second: also its sign of life
    EVENT = b"E"  # worker
    SUMMARY = b"R"  # worker, at its end
    FAILURE = b"F"  # worker, at its end: it can't do what it was asked


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``body`` is what its kind carries."""

    kind: Kind
    body: Any = None  # Packet, StreamStatus, Event, or what JSON holds


def encode(message: Message) -> bytes:
    """Frame a message."""
    if isinstance(message.body, Packet):
        return encode_packet(message.body)
    body = message.body
    if isinstance(body, StreamStatus | Event):
        body = asdict(body)
    return _framed(message.kind, json.dumps(body).encode())


def encode_packet(packet: Packet) -> bytes:
    base = packet.time_base
    head = _HEAD.pack(
        _TRACKS.index(packet.track),
        packet.keyframe,
        packet.pts,
        base.numerator,
        base.denominator,
    )
    return _framed(Kind.PACKET, head, packet.data)


def decode(frame: bytes) -> Message:
    """Take a framed message apart, its length left off."""
    kind, body = Kind(frame[:1]), frame[1:]
    if kind is Kind.PACKET:
        track, keyframe, pts, numerator, denominator = _HEAD.unpack_from(body)
        base = Fraction(numerator, denominator)
        data = body[_HEAD.size :]
        return Message(kind, Packet(_TRACKS[track], data, pts, base, bool(keyframe)))
    value = json.loads(body)
    if kind is Kind.STATUS:
        value = StreamStatus(**value)
    elif kind is Kind.EVENT:
        value = Event(Code(value["code"]), value["stream"], value["message"])
    return Message(kind, value)


async def read(reader: asyncio.StreamReader) -> Message | None:
    """Read the next message; None at the end. Raises StreamsrError for one that is too long."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > MAX_BYTES:
            raise StreamsrError(f"message: got {length} bytes, allowed are {MAX_BYTES}")
        return decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _framed(kind: Kind, *parts: bytes) -> bytes:
    length = 1 + sum(len(part) for part in parts)
    return b"".join((length.to_bytes(4, "big"), kind.value, *parts))
