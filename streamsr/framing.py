"""Messages between processes as bytes: their frame, and how a packet lies in one.

A message is its length (4 bytes, big endian), its kind (1 byte) and its body. A packet is a fixed
head and its data.
"""

import struct
from fractions import Fraction

from streamsr.packet import AAC, AUDIO, INPUT, OUTPUT, Packet

__all__ = ["MAX_BYTES", "framed", "packet_of", "packet_parts"]

MAX_BYTES = 64 * 1024 * 1024  # of one message
_TRACKS = (OUTPUT, INPUT, AUDIO, AAC)
_HEAD = struct.Struct("!BBqII")  # track, keyframe, pts, time base


def framed(kind: bytes, *parts: bytes) -> bytes:
    """Frame a message whose body is ``parts``."""
    length = len(kind) + sum(len(part) for part in parts)
    return b"".join((length.to_bytes(4, "big"), kind, *parts))


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
