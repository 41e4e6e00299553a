"""Messages between processes as bytes, in one form for all of them.

A message is its length (4 bytes, big endian), a byte for its class, and its fields as JSON. Packets
are hundreds a second: their fields are a fixed head and the data as it is.
"""

from __future__ import annotations  # asyncio is for its types alone

import struct
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from streamsr.core.errors import StreamsrError
from streamsr.core.packet import Packet, Track
from streamsr.ipc.messages import Message, OutputPacket, StreamPacket

if TYPE_CHECKING:
    from asyncio import StreamReader

__all__ = ["MAX_BYTES", "encode", "read", "take"]

MAX_BYTES = 64 * 1024 * 1024  # of one message
_LENGTH = 4  # bytes
_TRACKS = tuple(Track)
_HEAD = struct.Struct("!BBqII")  # track, keyframe, pts, time base
_CLASSES: tuple[type[Message], ...] = Message.__args__
_NUMBERS = {message: number for number, message in enumerate(_CLASSES)}


def encode(message: Message) -> bytes:
    """Returns a message as bytes, its length first."""
    number = _NUMBERS[type(message)]
    if isinstance(message, OutputPacket):
        return _framed(number, *_packet_parts(message.packet))
    if isinstance(message, StreamPacket):
        key = message.key.encode()
        return _framed(number, bytes([len(key)]), key, *_packet_parts(message.packet))
    return _framed(number, _adapter(number).dump_json(message))


async def read(reader: StreamReader) -> Message | None:
    """Returns the next message; None at the end, even in the middle of one.

    Raises StreamsrError for one that is too long, ValueError for bytes that are no message.
    """
    try:
        length = _length_of(await reader.readexactly(_LENGTH))
        return _decode(await reader.readexactly(length))
    except (EOFError, ConnectionError):  # asyncio.IncompleteReadError is an EOFError
        return None


def take(buffer: bytearray) -> Message | None:
    """Takes the first message out of ``buffer``; returns None until it is whole.

    Raises as ``read`` does.
    """
    if len(buffer) < _LENGTH:
        return None
    end = _LENGTH + _length_of(buffer[:_LENGTH])
    if len(buffer) < end:
        return None
    frame = bytes(buffer[_LENGTH:end])
    del buffer[:end]
    return _decode(frame)


def _framed(number: int, *parts: bytes) -> bytes:
    length = 1 + sum(len(part) for part in parts)
    return b"".join((length.to_bytes(_LENGTH, "big"), bytes([number]), *parts))


def _length_of(head: bytes | bytearray) -> int:
    length = int.from_bytes(head, "big")
    if not 0 < length <= MAX_BYTES:
        raise StreamsrError(f"message: got {length} bytes, allowed are 1 to {MAX_BYTES}")
    return length


def _decode(frame: bytes) -> Message:
    if frame[0] >= len(_CLASSES):
        raise ValueError(f"message: got class {frame[0]}, allowed are 0 to {len(_CLASSES) - 1}")
    message = _CLASSES[frame[0]]
    if message is OutputPacket:
        return OutputPacket(_packet_of(frame[1:]))
    if message is StreamPacket:
        end = 2 + frame[1]
        return StreamPacket(frame[2:end].decode(), _packet_of(frame[end:]))
    decoded: Message = _adapter(frame[0]).validate_json(frame[1:])
    return decoded


def _packet_parts(packet: Packet) -> tuple[bytes, bytes]:
    base = packet.time_base
    track = _TRACKS.index(packet.track)
    head = _HEAD.pack(track, packet.keyframe, packet.pts, base.numerator, base.denominator)
    return head, packet.data


def _packet_of(body: bytes) -> Packet:
    track, keyframe, pts, numerator, denominator = _HEAD.unpack_from(body)
    base = Fraction(numerator, denominator)
    return Packet(_TRACKS[track], body[_HEAD.size :], pts, base, bool(keyframe))


@cache
def _adapter(number: int) -> TypeAdapter[Any]:  # of the class of that number
    return TypeAdapter(_CLASSES[number])
