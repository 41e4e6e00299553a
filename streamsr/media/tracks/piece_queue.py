"""Audio and subtitles of a file that wait for their frame: none is dropped, memory is bounded."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import pickle
import threading
from collections import deque
from dataclasses import replace
from fractions import Fraction
from tempfile import TemporaryFile
from typing import IO, Any

import av
from av.stream import Stream

from streamsr.media.source import AudioFrame, Piece, Subtitle

__all__ = ["PieceQueue"]

MEMORY_BYTES = 32 * 1024 * 1024  # of packets: half an hour of AAC in stereo

Written = tuple[AudioFrame | Subtitle, bytes, int | None, int, Fraction]


class PieceQueue:
    """A first-in first-out queue without an end. Every method may be called from any thread.

    Beyond ``memory_bytes`` packets wait in a temporary file, as those of an hour under one frame.
    """

    dropped = 0  # as of a ``Channel``

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._pieces: deque[Piece] = deque()
        self._bytes = 0  # of ``_pieces``
        self._file: IO[bytes] | None = None
        self._written = 0  # pieces in the file that were not read again
        self._read_at = 0  # offset of the first of them
        self._streams: dict[int, Stream] = {}  # of the pieces in the file, by track
        self._closed = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pieces) + self._written

    def send(self, piece: Piece) -> bool:
        """Queues a piece; returns False: none is ever dropped for it.

        Raises OSError where the temporary file cannot be written.
        """
        with self._lock:
            if self._closed:
                return False
            size = piece.packet.size if piece.packet is not None else 0
            if size and (self._written or self._bytes + size > self._memory_bytes):
                self._write(piece)
            else:
                self._pieces.append(piece)
                self._bytes += size
        return False

    def receive(self) -> Piece:
        """Takes the oldest piece. Raises IndexError where there is none."""
        with self._lock:
            if not self._pieces:
                return self._read()
            piece = self._pieces.popleft()
            self._bytes -= piece.packet.size if piece.packet is not None else 0
            return piece

    def close(self) -> None:
        """Forgets what waits; nothing more is taken."""
        with self._lock:
            self._closed, self._written = True, 0
            self._pieces.clear()
            if self._file is not None:
                self._file.close()

    def _write(self, piece: Piece) -> None:
        packet = piece.packet
        assert packet is not None
        assert packet.time_base is not None
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 - it is gone with the queue
        self._streams[piece.track] = packet.stream
        bare = replace(piece, packet=None)
        written = (bare, bytes(packet), packet.pts, packet.duration or 0, packet.time_base)
        self._file.seek(0, 2)
        pickle.dump(written, self._file)
        self._written += 1

    def _read(self) -> Piece:
        if self._file is None or not self._written:
            raise IndexError("the queue is empty")
        self._file.seek(self._read_at)
        bare, data, pts, duration, time_base = pickle.load(self._file)
        self._read_at = self._file.tell()
        self._written -= 1
        if not self._written:
            self._read_at = 0
            self._file.seek(0)
            self._file.truncate()
        packet: av.Packet[Any] = av.Packet(data)
        packet.stream = self._streams[bare.track]
        packet.pts = packet.dts = pts
        packet.duration, packet.time_base = duration, time_base
        piece: Piece = replace(bare, packet=packet)
        return piece
