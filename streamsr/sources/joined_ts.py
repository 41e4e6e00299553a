"""A transport stream of recordings that were joined, read in order: their streams get one name.

FFmpeg takes the streams of a second recording with other ids (PIDs) for new ones, which PyAV does
not hand on. Here they get the ids of the first recording's, by their kind, and are called so in the
tables of the second one (ISO/IEC 13818-1, 2.4.4).
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamsr.media.pipes import ByteReader

__all__ = ["JoinedTransportStream", "is_transport_stream"]

PACKET = 188  # bytes
SHORTEST = 16  # bytes of a table that names anything
SYNC, NULL = 0x47, 0x1FFF  # the first byte of each; the id of nothing
PROGRAMMES, STREAMS = 0x00, 0x02  # tables; the former's id too
VIDEO = {0x01, 0x02, 0x10, 0x1B, 0x24}  # kinds of streams (table 2-34)
AUDIO = {0x03, 0x04, 0x0F, 0x11, 0x81, 0x87}

Bytes = NDArray[np.uint8]


def is_transport_stream(path: Path) -> bool:
    """Whether a file begins as one does. Raises OSError."""
    with path.open("rb") as file:
        return _is_in_step(file.read(3 * PACKET))


class JoinedTransportStream:
    """Reads from ``inner``. What is no transport stream passes as it is."""

    name = "pipe:"

    def __init__(self, inner: ByteReader, left_out: list[str]) -> None:
        """``left_out`` is told, for people, what does not come through."""
        self._inner = inner
        self._told = left_out
        self._seek: Callable[[int, int], int] | None = getattr(inner, "seek", None)
        self.found: set[int] | None = None  # ids that FFmpeg knows of, once it is open
        self._at = 0  # byte that is read next
        self._sought: int | None = None  # where it is to be read on
        self._held = self._ready = b""  # less than a packet; to be read
        self._is_ts: bool | None = None
        self._joins: dict[int, dict[int, int]] = {}  # by the byte since when: names
        self._names = np.arange(NULL + 1, dtype=np.uint16)  # by an id: the one in its place
        self._tables: set[int] = set()  # ids of the programmes' tables, as last said
        self._own: set[int] = set()  # likewise, of the first recording
        self._passed: set[int] = set()  # likewise, of those that come as they are
        self._first: dict[int, list[tuple[int, int]]] = {}  # by table: kind and id of its streams
        self._numbers: dict[int, list[int]] = {}  # by table: two bytes, its programme's

    def read(self, size: int) -> bytes:
        """Returns what has come, of at most ``size`` bytes; none at the end."""
        skipped = 0 if self._sought in (None, self._at) else self._go_to(self._sought or 0)
        self._sought = None
        while len(self._ready) <= skipped:
            data = self._inner.read(size)
            self._held += data
            if self._is_ts is None and len(self._held) > 2 * PACKET:
                self._is_ts = _is_in_step(self._held)
            if not (data and self._is_ts is not False):
                self._ready, self._held = self._ready + self._held, b""
                break
            if self._is_ts:
                self._ready += self._renamed()
        data, self._ready = self._ready[skipped : skipped + size], self._ready[skipped + size :]
        self._at += len(data)
        return data

    def seekable(self) -> bool:
        return self._seek is not None

    def tell(self) -> int:
        return self._at if self._sought is None else self._sought

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Raises OSError where the bytes come in order alone, or before the first one."""
        if self._seek is None:
            raise OSError(errno.ESPIPE, "they come in order")
        if whence == os.SEEK_END:
            offset += self._seek(0, os.SEEK_END)
            self._seek(self._at + len(self._ready) + len(self._held), os.SEEK_SET)
        elif whence == os.SEEK_CUR:
            offset += self.tell()
        if offset < 0:
            raise OSError(errno.EINVAL, "before the first byte")
        self._sought = offset
        return offset

    def close(self) -> None:
        self._inner.close()

    def _go_to(self, at: int) -> int:
        """Returns how many bytes are to be left out of what is read next."""
        assert self._seek is not None
        whole = at // PACKET * PACKET if self._is_ts else at
        self._seek(whole, os.SEEK_SET)
        self._held = self._ready = b""
        self._at = at
        self._names = np.arange(NULL + 1, dtype=np.uint16)
        for since in sorted(self._joins):
            self._rename(self._joins[since] if since <= at else {})
        return at - whole

    def _renamed(self) -> bytes:
        """Takes the whole packets of what is held, and returns them under their names."""
        data, out = self._held, b""
        while len(data) >= PACKET:
            whole = len(data) // PACKET * PACKET
            packets = np.frombuffer(data[:whole], np.uint8).reshape(-1, PACKET).copy()
            out_of_step = np.flatnonzero(packets[:, 0] != SYNC)
            good = int(out_of_step[0]) if len(out_of_step) else len(packets)
            out += self._named(packets[:good])
            data = data[good * PACKET :]
            if good * PACKET < whole:  # a recording that was cut within a packet
                if len(data) <= 3 * PACKET:
                    break
                cut = next((at for at in range(PACKET) if _is_in_step(data[at:])), PACKET)
                out, data = out + data[:cut], data[cut:]
        self._held = data
        return out

    def _named(self, packets: Bytes) -> bytes:
        ids = (packets[:, 1].astype(np.uint16) & 0x1F) << 8 | packets[:, 2]
        at = 0
        while at < len(ids):
            tables = np.flatnonzero(np.isin(ids[at:], [PROGRAMMES, *self._tables]))
            end = at + int(tables[0]) if len(tables) else len(ids)
            _name(packets[at:end], self._names[ids[at:end]])
            if end < len(ids):
                name = self._name_of_table(int(ids[end]), packets[end])
                _name(packets[end : end + 1], np.array([name], np.uint16))
            at = end + 1
        return packets.tobytes()

    def _name_of_table(self, table: int, packet: Bytes) -> int:
        """Takes a packet of a table, which says then what its streams are called here; returns the
        id that it gets."""
        place = _place(packet)
        if place is None:
            return table if table in self._own | self._passed | {PROGRAMMES} else NULL
        section = packet[slice(*place)].tolist()
        if table == PROGRAMMES and section[0] == PROGRAMMES:
            entries = [section[at : at + 4] for at in range(8, len(section) - 4, 4)]
            self._tables = {_id(entry, 2) for entry in entries if entry[0] | entry[1]}
            self._own = self._own or self._tables
            return NULL if self._tables.isdisjoint(self._own | self._passed) else table
        if section[0] != STREAMS:
            return table
        streams = [(section[at], _id(section, at + 1)) for at in _entries(section)]
        if table in self._own and table not in self._first:
            self._first[table], self._numbers[table] = streams, section[3:5]
        if not self._is_renamed(table, streams):
            return table
        names = {int(self._names[stream]) for _, stream in streams} - {NULL}
        own = (own for own, told in self._first.items() if names & {name for _, name in told})
        replaced = next(own, NULL)
        if replaced != NULL:
            section[3:5] = self._numbers[replaced]
            for at in (7, *_entries(section)):  # that of the clock, and the streams'
                name = int(self._names[_id(section, at + 1)])
                section[at + 1 : at + 3] = section[at + 1] & 0xE0 | name >> 8, name & 0xFF
            section[-4:] = _check_sum(section[:-4])
            packet[slice(*place)] = section
        return replaced

    def _is_renamed(self, table: int, streams: list[tuple[int, int]]) -> bool:
        """Gives streams the names of the first recording's, by their kind, unless they have them;
        returns whether any has another one now."""
        first = [stream for told in self._first.values() for stream in told]
        places = [stream for stream in first if stream not in streams]
        taken = {stream for _, stream in first}
        names = {stream: stream for _, stream in streams}
        homeless: list[tuple[int, int]] = []
        for kind, stream in streams:
            place = next((place for place in places if place[0] == kind), None)
            if (kind, stream) in first:
                continue
            if place is None:
                homeless.append((kind, stream))
                names[stream] = NULL if stream in taken else stream
            else:
                places.remove(place)
                names[stream] = place[1]
        kinds = {kind for kind, _ in homeless}
        if kinds & (VIDEO | AUDIO) and taken.isdisjoint(names) and self._are_found(names):
            names = {stream: stream for stream in names}
            self._passed.add(table)
        elif kinds & VIDEO:
            names = dict.fromkeys(names, NULL)
        self._tell([kind for kind, stream in homeless if not self._are_found([names[stream]])])
        if any(self._names[stream] != name for stream, name in names.items()):
            self._joins.setdefault(self._at, {}).update(names)
            self._rename(names)
        return any(stream != name for stream, name in names.items())

    def _are_found(self, streams: Iterable[int]) -> bool:
        """Whether FFmpeg knows them, or may: it looks at the end of a file as it opens it."""
        if self.found is None:
            return self.seekable() and NULL not in streams
        return self.found.issuperset(streams)

    def _rename(self, names: dict[int, int]) -> None:
        for stream, name in names.items():
            self._names[stream] = name

    def _tell(self, kinds: list[int]) -> None:
        told = "a track that only a joined recording has"
        if VIDEO.intersection(kinds):
            told = "a joined recording whose video is coded otherwise than the first one's"
        elif AUDIO.intersection(kinds):
            told = "audio that only a joined recording has, or in another coding"
        if kinds and told not in self._told:
            self._told.append(told)


def _is_in_step(data: bytes) -> bool:
    return set(data[: 2 * PACKET + 1 : PACKET]) == {SYNC} and len(data) > 2 * PACKET


def _name(packets: Bytes, names: NDArray[np.uint16]) -> None:
    packets[:, 1] = packets[:, 1] & 0xE0 | (names >> 8).astype(np.uint8)
    packets[:, 2] = (names & 0xFF).astype(np.uint8)


def _place(packet: Bytes) -> tuple[int, int] | None:
    """Where a table begins and ends in a packet; None where none does both."""
    if not packet[1] & 0x40:
        return None
    data = packet.tolist()
    at = 4 + (1 + data[4] if data[3] & 0x20 else 0)
    at += 1 + data[at] if at < PACKET else 0
    if at + 3 > PACKET:
        return None
    end = at + 3 + _id(data, at + 1, 0x0F)
    return (at, end) if at + SHORTEST <= end <= PACKET else None


def _entries(section: list[int]) -> Iterator[int]:
    """Where a programme's table names each stream: its kind, then its id."""
    at = 12 + _id(section, 10, 0x0F)
    while at + 5 <= len(section) - 4:
        yield at
        at += 5 + _id(section, at + 3, 0x0F)


def _check_sum(section: list[int]) -> list[int]:
    """That of a table, in four bytes (annex A there)."""
    register = 0xFFFFFFFF
    for byte in section:
        register ^= byte << 24
        for _ in range(8):
            register = register << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if register >> 31 else 0)
    return list(register.to_bytes(4, "big"))


def _id(data: list[int], at: int, mask: int = 0x1F) -> int:
    return (data[at] & mask) << 8 | data[at + 1]
