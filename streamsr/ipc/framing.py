"""Messages between processes as bytes, in one form for all of them.

A message is its length (4 bytes, big endian), a byte for its class, and its fields as MessagePack,
which holds a packet's data as it is.
"""

import os
from fractions import Fraction
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec.msgpack import Decoder, Encoder

from streamsr.core.errors import StreamsrError
from streamsr.ipc import messages
from streamsr.ipc.messages import Message

if TYPE_CHECKING:  # an output's process, which starts again often, has no asyncio
    from asyncio import StreamReader

__all__ = ["MAX_BYTES", "encode", "read", "take"]

MAX_BYTES = 64 * 1024 * 1024  # of one message
_LENGTH = 4  # bytes
_CLASSES = [getattr(messages, name) for name in messages.__all__]
_NUMBERS = {message: bytes([number]) for number, message in enumerate(_CLASSES)}


def encode(message: Message) -> bytes:
    """Returns a message as bytes, its length first."""
    body = _NUMBERS[type(message)] + _ENCODER.encode(message)
    return len(body).to_bytes(_LENGTH, "big") + body


async def read(reader: "StreamReader") -> Message | None:
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
    body = bytes(buffer[_LENGTH:end])
    del buffer[:end]
    return _decode(body)


def _length_of(head: bytes | bytearray) -> int:
    length = int.from_bytes(head, "big")
    if not 0 < length <= MAX_BYTES:
        raise StreamsrError(f"message: got {length} bytes, allowed are 1 to {MAX_BYTES}")
    return length


def _decode(body: bytes) -> Message:
    if body[0] >= len(_CLASSES):
        raise ValueError(f"message: got class {body[0]}, allowed are 0 to {len(_CLASSES) - 1}")
    return _decoder(body[0]).decode(memoryview(body)[1:])


@cache
def _decoder(number: int) -> Decoder[Message]:
    return Decoder(_CLASSES[number], dec_hook=lambda kind, text: kind(os.fsdecode(text)))


def _hooked(value: object) -> str | bytes:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, PurePath):  # whose name may be in any encoding
        return os.fsencode(value)
    raise TypeError(f"message: a {type(value).__name__} cannot be sent")


_ENCODER = Encoder(enc_hook=_hooked)
