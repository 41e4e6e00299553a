"""What the main process and a publisher process say to each other: framed messages.

A message is its length (4 bytes, big endian), its kind (1 byte) and its body: JSON, but for a
packet, whose body is a fixed head and the data. Neither side waits for an answer to any of them.
"""

import json
import struct
from enum import Enum
from fractions import Fraction
from typing import Any

from streamsr.packet import AAC, OUTPUT, Packet

__all__ = ["MAX_BYTES", "Kind", "decode", "decode_packet", "encode", "encode_packet"]

MAX_BYTES = 64 * 1024 * 1024  # of one message
_TRACKS = (OUTPUT, AAC)
_HEAD = struct.Struct("!BBqII")  # track, keyframe, pts, time base


class Kind(Enum):
    """Who says it, and what."""

    JOB = b"J"  # main, once: what to write, and where
    FACTS = b"F"  # main, before the first packet and whenever they change: rate and sound
    PACKET = b"P"  # main
    STOP = b"Q"  # main: there are no more packets; finish and end
    PROGRESS = b"A"  # publisher, four times a second: state, packets taken; its sign of life
    EVENT = b"E"  # publisher
    FAILURE = b"X"  # publisher, at its end: why it cannot go on


def encode(kind: Kind, body: Any = None) -> bytes:
    """Frame a message whose body JSON can hold."""
    return _framed(kind, json.dumps(body).encode())


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


def decode(frame: bytes) -> tuple[Kind, Any]:
    """Take a framed message apart, its length left off; a packet's body is a Packet."""
    kind = Kind(frame[:1])
    if kind is Kind.PACKET:
        return kind, decode_packet(frame[1:])
    return kind, json.loads(frame[1:])


def decode_packet(body: bytes) -> Packet:
    track, keyframe, pts, numerator, denominator = _HEAD.unpack_from(body)
    base = Fraction(numerator, denominator)
    return Packet(_TRACKS[track], body[_HEAD.size :], pts, base, bool(keyframe))


def _framed(kind: Kind, *parts: bytes) -> bytes:
    length = 1 + sum(len(part) for part in parts)
    return b"".join((length.to_bytes(4, "big"), kind.value, *parts))
