"""A transport stream of recordings that were joined, read in order: their streams get one name.

FFmpeg takes the streams of a second recording with other ids (PIDs) for new ones, which PyAV does
not hand on. Here they get the ids of the first recording's, by their kind; the tables of the second
one, which say otherwise, are left out (ISO/IEC 13818-1, 2.4.4).
"""

import numpy as np
from numpy.typing import NDArray

from streamsr.media.pipes import ByteReader

__all__ = ["JoinedTransportStream"]

PACKET = 188  # bytes
SHORTEST = 16  # bytes of a table that names anything
SYNC, NULL = 0x47, 0x1FFF  # the first byte of each; the id of nothing
PROGRAMMES, STREAMS = 0x00, 0x02  # tables; the former's id too
VIDEO = {0x01, 0x02, 0x10, 0x1B, 0x24}  # kinds of streams (table 2-34)

Bytes = NDArray[np.uint8]


class JoinedTransportStream:
    """Reads from ``inner``. What is no transport stream passes as it is."""

    name = "pipe:"

    def __init__(self, inner: ByteReader, left_out: list[str]) -> None:
        """``left_out`` is told, for people, what does not come through."""
        self._inner = inner
        self._told = left_out
        self._held = self._ready = b""  # less than a packet; to be read
        self._is_ts: bool | None = None
        self._names = np.arange(NULL + 1, dtype=np.uint16)  # by an id: the one in its place
        self._tables: set[int] = set()  # ids of the programmes' tables, as last said
        self._own: set[int] = set()  # likewise, of the first recording
        self._first: dict[int, list[tuple[int, int]]] = {}  # by table: kind and id of its streams

    def read(self, size: int) -> bytes:
        """Returns what has come, of at most ``size`` bytes; none at the end."""
        while not self._ready:
            data = self._inner.read(size)
            self._held += data
            if self._is_ts is None and len(self._held) > 2 * PACKET:
                self._is_ts = set(self._held[: 2 * PACKET + 1 : PACKET]) == {SYNC}
            if not (data and self._is_ts is not False):
                self._ready, self._held = self._held, b""
                break
            whole = len(self._held) // PACKET * PACKET if self._is_ts else 0
            self._ready, self._held = self._renamed(self._held[:whole]), self._held[whole:]
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def close(self) -> None:
        self._inner.close()

    def _renamed(self, data: bytes) -> bytes:
        packets = np.frombuffer(data, np.uint8).reshape(-1, PACKET).copy()
        ids = (packets[:, 1].astype(np.uint16) & 0x1F) << 8 | packets[:, 2]
        at = 0
        while at < len(ids):
            tables = np.flatnonzero(np.isin(ids[at:], [PROGRAMMES, *self._tables]))
            end = at + int(tables[0]) if len(tables) else len(ids)
            _name(packets[at:end], self._names[ids[at:end]])
            if end < len(ids) and self._is_joined(int(ids[end]), packets[end]):
                _name(packets[end : end + 1], np.array([NULL], np.uint16))
            at = end + 1
        return packets.tobytes()

    def _is_joined(self, table: int, packet: Bytes) -> bool:
        """Takes a packet of a table; returns whether it is another recording's."""
        section = _section(packet)
        if section is None:
            return table not in self._own | {PROGRAMMES}
        if table == PROGRAMMES and section[0] == PROGRAMMES:
            entries = [section[at : at + 4] for at in range(8, len(section) - 4, 4)]
            self._tables = {_id(entry, 2) for entry in entries if entry[0] | entry[1]}
            self._own = self._own or self._tables
            return self._own.isdisjoint(self._tables)
        if section[0] != STREAMS:
            return False
        streams = list(_streams(section))
        if table in self._own and table not in self._first:
            self._first[table] = streams
        known = {stream for told in self._first.values() for _, stream in told}
        if not known or any(stream in known for _, stream in streams):
            return False
        self._join(streams)
        return True

    def _join(self, streams: list[tuple[int, int]]) -> None:
        """Gives another recording's streams the names of the first one's, its video's above all."""
        if any(self._names[stream] != stream for _, stream in streams):
            return  # it is done
        places = [stream for told in self._first.values() for stream in told]
        names: dict[int, int] = {}
        for kind, stream in streams:
            place = next((place for place in places if place[0] == kind), None)
            if place is not None:
                places.remove(place)
                names[stream] = place[1]
        if all(stream in names for kind, stream in streams if kind in VIDEO):
            for stream, name in names.items():
                self._names[stream] = name
            return
        told = "a joined recording whose video is coded otherwise than the first one's"
        if told not in self._told:
            self._told.append(told)


def _name(packets: Bytes, names: NDArray[np.uint16]) -> None:
    packets[:, 1] = packets[:, 1] & 0xE0 | (names >> 8).astype(np.uint8)
    packets[:, 2] = (names & 0xFF).astype(np.uint8)


def _section(packet: Bytes) -> list[int] | None:
    """A table that begins and ends in a packet, without its check sum; None where none does."""
    if not packet[1] & 0x40:
        return None
    data = packet.tolist()
    at = 4 + (1 + data[4] if data[3] & 0x20 else 0)
    at += 1 + data[at] if at < PACKET else 0
    if at + 3 > PACKET:
        return None
    end = at + 3 + _id(data, at + 1, 0x0F)
    return data[at : end - 4] + [0] * 4 if at + SHORTEST <= end <= PACKET else None


def _streams(section: list[int]) -> list[tuple[int, int]]:
    """The kind and the id of each stream that a programme's table names."""
    at, found = 12 + _id(section, 10, 0x0F), []
    while at + 5 <= len(section) - 4:
        found.append((section[at], _id(section, at + 1)))
        at += 5 + _id(section, at + 3, 0x0F)
    return found


def _id(data: list[int], at: int, mask: int = 0x1F) -> int:
    return (data[at] & mask) << 8 | data[at + 1]
