"""Messages between processes as bytes: their frame, and how a packet lies in one.

A message is its length (4 bytes, big endian), its kind (1 byte) and its body. A packet is a fixed
head and its data. asyncio is not imported: a publisher process, which starts anew often, has none.
"""

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

from streamsr.core.errors import StreamsrError
from streamsr.core.packet import Packet, Track

if TYPE_CHECKING:
    from asyncio import StreamReader

__all__ = ["MAX_BYTES", "framed", "packet_of", "packet_parts", "read_frame", "take_frame"]

MAX_BYTES = 64 * 1024 * 1024  # of one message
_LENGTH = 4  # bytes
_TRACKS = tuple(Track)
_HEAD = struct.Struct("!BBqII")  # track, keyframe, pts, time base


def framed(kind: bytes, *parts: bytes) -> bytes:
    """Frame a message whose body is ``parts``."""
    length = len(kind) + sum(len(part) for part in parts)
    return b"".join((length.to_bytes(_LENGTH, "big"), kind, *parts))


async def read_frame(reader: "StreamReader") -> bytes | None:
    """The next message, its length left off; None at the end, be it in the middle of one.

    Raises StreamsrError for one that is too long.
    """
    try:
        return await reader.readexactly(_length_of(await reader.readexactly(_LENGTH)))
    except (EOFError, ConnectionError):  # asyncio.IncompleteReadError is an EOFError
        return None


def take_frame(buffer: bytearray) -> bytes | None:
    """Take the first message out of ``buffer``, its length left off; None until it is whole.

    Raises StreamsrError for one that is too long.
    """
    if len(buffer) < _LENGTH:
        return None
    end = _LENGTH + _length_of(buffer[:_LENGTH])
    if len(buffer) < end:
        return None
    frame = bytes(buffer[_LENGTH:end])
    del buffer[:end]
    return frame


def packet_parts(packet: Packet) -> tuple[bytes, bytes]:
    """A packet's head and its data."""
    base = packet.time_base
    track = _TRACKS.index(packet.track)
    head = _HEAD.pack(track, packet.keyframe, packet.pts, base.numerator, base.denominator)
    return head, packet.data


def packet_of(body: bytes) -> Packet:
    """The packet that ``packet_parts`` made ``body`` of."""
    track, keyframe, pts, numerator, denominator = _HEAD.unpack_from(body)
    base = Fraction(numerator, denominator)
    return Packet(_TRACKS[track], body[_HEAD.size :], pts, base, bool(keyframe))


def _length_of(head: bytes | bytearray) -> int:
    length = int.from_bytes(head, "big")
    if length > MAX_BYTES:
        raise StreamsrError(f"message: got {length} bytes, allowed are {MAX_BYTES}")
    return length
