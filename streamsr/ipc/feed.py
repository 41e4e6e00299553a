"""What the main process and a publisher process say to each other: framed messages.

A body is JSON, but for packets. Neither side waits for an answer to any of them.
"""

import json
from enum import Enum
from typing import Any

from streamsr.core.packet import Packet
from streamsr.ipc.framing import framed, packet_of, packet_parts

__all__ = ["Kind", "decode", "encode", "encode_packet"]


class Kind(Enum):
    """Who says it, and what."""

    JOB = b"J"  # main, once: what to write, and where
    FACTS = b"F"  # main, before the first packet and whenever they change: rate and audio
    PACKET = b"P"  # main
    STOP = b"Q"  # main: there are no more packets; finish and end
    PROGRESS = b"A"  # publisher, four times a second: state, packets taken; its sign of life
    EVENT = b"E"  # publisher
    FAILURE = b"X"  # publisher, at its end: why it cannot go on


def encode(kind: Kind, body: Any = None) -> bytes:
    """Frame a message whose body JSON can hold."""
    return framed(kind.value, json.dumps(body).encode())


def encode_packet(packet: Packet) -> bytes:
    return framed(Kind.PACKET.value, *packet_parts(packet))


def decode(frame: bytes) -> tuple[Kind, Any]:
    """Take a framed message apart, its length left off; a packet's body is a Packet."""
    kind = Kind(frame[:1])
    if kind is Kind.PACKET:
        return kind, packet_of(frame[1:])
    return kind, json.loads(frame[1:])
