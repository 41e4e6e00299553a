"""RTP of H.265 (RFC 3550, 7798): packets back in order, and frames that lost one left out whole.

A frame that lacks a packet is decoded without an error, to something else. One that lacks all of
them is missed by those that refer to it. Pure: time comes in as an argument.
"""

__all__ = ["PacketOrder", "WholeFrameFilter", "sequence_of"]

AGGREGATED, FRAGMENT = 48, 49  # NAL unit types of RFC 7798, 4.4
SLICES = 32  # NAL unit types below are slices
HEAD = 12  # bytes, without the list of contributing sources
MOST_HELD = 4096  # packets of one frame: more are no frame
LATE_S = 0.06  # that a packet may be overtaken by others
BEHIND = 1 << 15


def sequence_of(packet: bytes) -> int:
    """Returns a packet's sequence number."""
    return int.from_bytes(packet[2:4], "big")


class PacketOrder:
    """Puts packets that came over UDP in the order of their numbers."""

    def __init__(self) -> None:
        self._next: int | None = None  # the number that is due
        self._early: dict[int, tuple[float, bytes]] = {}  # by number: when it came

    @property
    def waits(self) -> bool:
        """Whether packets are held for one that may still come."""
        return bool(self._early)

    def take(self, packet: bytes, now_s: float) -> list[bytes]:
        """Takes a packet; returns those that can go on."""
        number = sequence_of(packet)
        if self._next is None:
            self._next = number
        if (number - self._next) % (2 * BEHIND) < BEHIND:  # else it is too late, or a twin
            self._early[number] = now_s, packet
        return self.due(now_s)

    def due(self, now_s: float) -> list[bytes]:
        """Returns those that can go on: what is missing before them does not come any more."""
        found = []
        while self._early and self._next is not None:
            if self._next not in self._early:
                if now_s - min(came_s for came_s, _ in self._early.values()) < LATE_S:
                    break
                first = self._next
                self._next = min(self._early, key=lambda number: (number - first) % (2 * BEHIND))
            found.append(self._early.pop(self._next)[1])
            self._next = (self._next + 1) % (2 * BEHIND)
        return found


class WholeFrameFilter:
    """Holds the packets of a frame until its last one, and lets none go on where one is missing."""

    def __init__(self) -> None:
        self._next: int | None = None  # the number that is due
        self._time = b""  # the frame's stamp
        self._held: list[bytes] = []
        self._broken = False

    def take(self, packet: bytes) -> list[bytes]:
        """Takes a packet in the order of their numbers; returns those that go on."""
        number, time, last = sequence_of(packet), packet[4:8], packet[1] & 0x80
        gap = number != self._next  # at first too: it may begin within a frame
        self._next = (number + 1) % (2 * BEHIND)
        done: list[bytes] = []
        if time != self._time:
            if not gap and not self._broken:
                done = self._held  # of a camera that does not mark the last one
            self._time, self._held = time, []
            self._broken = gap and not _begins_frame(packet)
        elif gap:
            self._broken, self._held = True, []
        if self._broken:
            return done
        self._held.append(packet)
        if last or len(self._held) > MOST_HELD:
            done, self._held = done + self._held, []
        return done


def _begins_frame(packet: bytes) -> bool:
    """Whether a packet begins with a frame's parameter sets, or with its first slice."""
    payload = packet[HEAD + 4 * (packet[0] & 15) :]
    if packet[0] & 0x10 and len(payload) > 4:  # a header extension
        payload = payload[4 + 4 * int.from_bytes(payload[2:4], "big") :]
    kind, slice_at = (payload[0] >> 1 & 63 if payload else 0), 2
    if kind == AGGREGATED:
        kind, slice_at = (payload[4] >> 1 & 63 if len(payload) > 4 else 0), 6
    elif kind == FRAGMENT and len(payload) > 2:
        if not payload[2] & 0x80:
            return False
        kind, slice_at = payload[2] & 63, 3
    return kind >= SLICES or (len(payload) > slice_at and bool(payload[slice_at] & 0x80))
