"""What is read of H.265 without a decoder (ITU-T H.265, 7.3): which frames are whole.

A lost packet is not an error to a decoder: it makes up the frame that others refer to, grey. Each
slice names the frames that it may refer to by their order count (POC; 8.3.1, 8.3.2), so that a
reference that has not been received, or not whole, is known before it is decoded.
"""

from dataclasses import dataclass, field

from streamsr.bitstream.h264 import Bits, nal_units
from streamsr.bitstream.h265_parameters import (
    Pps,
    Sps,
    at_most,
    read_pps,
    read_reference_set,
    read_sps,
)

__all__ = ["WholeFrames"]

RADL_R, RASL_N, RASL_R = 7, 8, 9
BLA, IDR, CRA, IRAP = range(16, 19), range(19, 21), 21, range(16, 24)
SLICES = 32  # NAL unit types below are slices
SPS, PPS, END, SEI = 33, 34, (36, 37), 39
RECOVERY_POINT = 6  # payload type of SEI (D.2.8)
HEAD_BYTES = 160  # of a slice: what is read here lies before


@dataclass(slots=True)
class _Frame:
    """A frame's first slice: what it is and refers to, by order count (POC)."""

    kind: int
    poc: int
    short: dict[int, bool] = field(default_factory=dict)  # count: used by this frame
    long: list[tuple[int, int, bool]] = field(default_factory=list)  # count, its bits, used


class WholeFrames:
    """Follows the access units of one stream, Annex B, in the order they arrive."""

    def __init__(self, extradata: bytes | None = None) -> None:
        self.lost = False  # the newest frame refers to one that never came, or lacks a part
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, Pps] = {}
        self._received: dict[int, bool] = {}  # that may be referred to, by count: whole
        self._tid0 = 0  # the count that the next one is relative to
        self._begins = True  # at the next keyframe there is nothing before it
        self._newest: int | None = None  # its count; None: not understood
        self._refreshed: int | None = None  # frames until all is, as the newest SEI says
        self._recovery: tuple[int, int] | None = None  # counts: where it began, and is done
        if extradata:
            self.is_whole(extradata)

    def is_whole(self, unit: bytes) -> bool:
        """Whether the access unit is a frame that can be shown: all of it, and what it refers to.

        One without parameter sets that are understood is.
        """
        self.lost, self._refreshed = False, None
        whole, slices, address = True, 0, -1
        for start, end in nal_units(unit):
            kind = unit[start] >> 1 & 63
            if unit[start] & 1 or unit[start + 1 : start + 2] > b"\7":
                continue  # of another layer
            try:
                if kind >= SLICES:
                    self._describe(kind, unit[start + 2 : end])
                elif self._pps:
                    nal = unit[start : min(end, start + HEAD_BYTES)]
                    found = self._slice(nal, first=slices == 0, after=address)
                    address, whole = found[0], whole and found[1]
                    slices += 1
            except KeyError:
                self._newest = None  # its parameter sets are not understood
            except (ValueError, IndexError):
                if kind < SLICES:
                    whole, self.lost, slices = False, True, slices + 1
        if self._newest is not None and slices:
            whole = self._recovers(self._newest) or whole
            self._received[self._newest] = whole
        return whole

    def _recovers(self, count: int) -> bool:
        """Whether a stream without keyframes is whole from this frame on (D.3.8)."""
        if self._refreshed is not None and self._recovery is None:
            self._recovery = count, count + self._refreshed
        if self._recovery is None or count < self._recovery[1]:
            return False
        self._recovery, self._begins = None, False
        self._received = dict.fromkeys(self._received, True)
        return not self.lost

    def failed(self) -> None:
        """The newest frame could not be decoded: what refers to it is damaged too."""
        if self._newest is not None:
            self._received[self._newest] = False

    def _describe(self, kind: int, data: bytes) -> None:
        """Takes what is no slice. Raises ValueError or IndexError where it is damaged."""
        if kind == SPS:
            number, sps = read_sps(Bits(data))
            self._sps[number] = sps
        elif kind == PPS:
            number, pps = read_pps(Bits(data[:HEAD_BYTES]))
            self._pps[number] = pps
        elif kind == SEI:
            self._refreshed = _recovery_count(data[:HEAD_BYTES])
        elif kind in END:
            self._begins = True

    def _slice(self, nal: bytes, *, first: bool, after: int) -> tuple[int, bool]:
        """Reads a slice segment; returns its address, and whether nothing is missing at it.

        Raises ValueError, KeyError or IndexError where its head is damaged.
        """
        kind, reader = nal[0] >> 1 & 63, Bits(nal[2:])
        begins = reader.u(1)
        if kind in IRAP:
            reader.u(1)
        pps = self._pps[reader.ue()]
        sps = self._sps[pps.sps]
        if not begins:
            dependent = pps.dependent_slices and reader.u(1)
            address = reader.u(sps.address_bits)
            if first:  # the first slice was lost, and with it what the frame refers to
                self._newest = None if dependent else self._count(nal, reader, pps, sps).poc
                self.lost = True
            missing = first or address <= after
            self.lost |= missing
            return address, not missing
        frame = self._count(nal, reader, pps, sps)
        return 0, self._refers(frame)

    def _count(self, nal: bytes, reader: Bits, pps: Pps, sps: Sps) -> _Frame:
        """Reads a slice's references and follows the order count (8.3.1)."""
        kind = nal[0] >> 1 & 63
        reader.u(pps.extra_bits)
        reader.ue()  # slice_type
        reader.u(int(pps.output_flag) + 2 * int(sps.separate_planes))
        alone = kind in BLA or kind in IDR or (kind == CRA and self._begins)
        frame = _Frame(kind, 0)
        if kind not in IDR:
            span = 1 << sps.poc_bits
            low = reader.u(sps.poc_bits)
            before = 0 if alone else self._tid0
            high = before - before % span
            if low < before % span and before % span - low >= span // 2:
                high += span
            elif low > before % span and low - before % span > span // 2:
                high -= span
            frame.poc = low if alone else high + low
            self._references(frame, reader, sps)
        if kind in IRAP and alone:
            self._received = {}
        temporal = (nal[1] & 7) - 1
        if temporal == 0 and not (RADL_R - 1 <= kind <= RASL_R) and (kind > 14 or kind % 2):
            self._tid0 = frame.poc
        self._newest = frame.poc
        return frame

    def _references(self, frame: _Frame, reader: Bits, sps: Sps) -> None:
        """Reads which frames a slice may refer to (7.3.6.1, 7.4.8)."""
        sets = sps.reference_sets
        if not reader.u(1):
            deltas = read_reference_set(reader, sets, len(sets), in_slice=True)
        else:
            deltas = sets[reader.u((len(sets) - 1).bit_length())]
        frame.short = {frame.poc + delta: used for delta, used in deltas.items()}
        if not sps.long_term:
            return
        known = len(sps.long_term_sets)
        from_sps = reader.ue() if known else 0
        span, cycle = 1 << sps.poc_bits, 0
        for place in range(from_sps + at_most(reader.ue())):
            if place < from_sps:
                low, used = sps.long_term_sets[reader.u((known - 1).bit_length())]
            else:
                low, used = reader.u(sps.poc_bits), bool(reader.u(1))
            if place in (0, from_sps):
                cycle = 0
            if reader.u(1):
                cycle += reader.ue()
                count = frame.poc - cycle * span - (frame.poc % span - low)
                frame.long.append((count, 0, used))
            else:
                frame.long.append((low, span, used))

    def _refers(self, frame: _Frame) -> bool:
        """Whether all that a frame refers to has been received whole; forgets what no frame may
        refer to any more (8.3.2)."""
        if frame.kind in IRAP:  # it is a recovery point by itself
            self._begins, self._recovery, self._refreshed = False, None, None
        named = dict(frame.short)
        for count, span, used in frame.long:
            found = [
                poc for poc in self._received if poc == count or (span and poc % span == count)
            ]
            named[found[0] if found else count] = used
        wanted = [poc for poc, used in named.items() if used]
        gone = [poc for poc in wanted if poc not in self._received]
        whole = all(self._received.get(poc, False) for poc in wanted)
        leads = frame.kind in (RASL_N, RASL_R)  # to what came before its keyframe
        self.lost |= bool(gone) and not leads and not self._begins
        if self._recovery and any(count >= self._recovery[0] for count in gone):
            self._recovery = None
        self._received = {poc: ok for poc, ok in self._received.items() if poc in named}
        return whole and not self._begins


def _recovery_count(payload: bytes) -> int | None:
    """Returns the frames until a recovery point, where the first message of an SEI tells of one."""
    if payload[:1] != bytes([RECOVERY_POINT]):
        return None
    code = Bits(payload[2:]).ue()
    return max(0, (code + 1) // 2 * (1 if code % 2 else -1))
