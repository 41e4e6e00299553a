"""Audio and subtitles of a file that wait for their frame: none is dropped, memory is bounded."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import pickle
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from tempfile import TemporaryFile
from typing import IO, Any

import av
from av.packet import PacketSideData
from av.stream import Stream

from streamsr.media.source import Piece

__all__ = ["PieceQueue"]

MEMORY_BYTES = 32 * 1024 * 1024  # of packets: half an hour of AAC in stereo
FILE_BYTES = 64 * 1024 * 1024  # of a temporary file, which goes once it has been read


@dataclass(frozen=True)
class _Written:
    """What a file holds of a piece: it but for its packet, and what that one holds."""

    piece: Piece
    data: bytes
    pts: int | None
    duration: int
    time_base: Fraction
    keyframe: bool


@dataclass(frozen=True)
class _Kept:
    """What memory holds of a piece in a file: PyAV can make neither from bytes."""

    stream: Stream
    marks: Sequence[PacketSideData]  # as of a codec's priming


class PieceQueue:
    """A first-in first-out queue without an end. Every method may be called from any thread.

    Beyond ``memory_bytes`` pieces wait in temporary files, as those of an hour under one frame.
    Samples that no codec made stay in memory; they come in their order all the same.
    """

    dropped = 0  # as of a ``Channel``

    def __init__(self, memory_bytes: int = MEMORY_BYTES, file_bytes: int = FILE_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        self._pieces: deque[Piece | _Kept] = deque()  # the latter: the next one in the files
        self._bytes = 0  # of ``_pieces``
        self._files: deque[_File] = deque()  # the last one is written, the first one read
        self._closed = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pieces)

    def send(self, piece: Piece) -> bool:
        """Queues a piece; returns False: none is ever dropped for it.

        Raises OSError where a temporary file cannot be written.
        """
        with self._lock:
            if self._closed:
                return False
            size = piece.packet.size if piece.packet is not None else 0
            if size and (self._files or self._bytes + size > self._memory_bytes):
                self._pieces.append(self._write(piece))
            else:
                self._pieces.append(piece)
                self._bytes += size
        return False

    def receive(self) -> Piece:
        """Takes the oldest piece. Raises IndexError where there is none."""
        with self._lock:
            piece = self._pieces.popleft()
            if isinstance(piece, _Kept):
                return self._read(piece)
            self._bytes -= piece.packet.size if piece.packet is not None else 0
            return piece

    def close(self) -> None:
        """Forgets what waits; nothing more is taken."""
        with self._lock:
            self._closed = True
            self._pieces.clear()
            while self._files:
                self._files.popleft().close()

    def _write(self, piece: Piece) -> _Kept:
        packet = piece.packet
        assert packet is not None
        assert packet.time_base is not None
        if not self._files or self._files[-1].size >= self._file_bytes:
            self._files.append(_File())
        self._files[-1].write(
            _Written(
                replace(piece, packet=None),
                bytes(packet),
                packet.pts,
                packet.duration or 0,
                packet.time_base,
                packet.is_keyframe,
            )
        )
        return _Kept(packet.stream, tuple(packet.iter_sidedata()))

    def _read(self, kept: _Kept) -> Piece:
        file = self._files[0]
        written = file.read()
        if not file.waiting:
            self._files.popleft().close()
        packet: av.Packet[Any] = av.Packet(written.data)
        packet.stream = kept.stream
        packet.pts = packet.dts = written.pts
        packet.duration, packet.time_base = written.duration, written.time_base
        packet.is_keyframe = written.keyframe
        for mark in kept.marks:
            packet.set_sidedata(mark)
        piece: Piece = replace(written.piece, packet=packet)
        return piece


class _File:
    """A temporary file of pieces, first in, first out."""

    def __init__(self) -> None:
        self.waiting = 0  # pieces that were not read
        self.size = 0  # bytes
        self._read_at = 0  # offset of the first piece that waits
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - ``close`` ends it

    def write(self, written: _Written) -> None:
        self._file.seek(0, 2)
        pickle.dump(written, self._file)
        self.size = self._file.tell()
        self.waiting += 1

    def read(self) -> _Written:
        self._file.seek(self._read_at)
        written: _Written = pickle.load(self._file)
        self._read_at = self._file.tell()
        self.waiting -= 1
        return written

    def close(self) -> None:
        self._file.close()
