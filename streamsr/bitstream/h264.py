"""What is read of H.264 without a decoder (ITU-T H.264, 7.3): lost frames, parameter sets."""

from collections.abc import Iterator

__all__ = [
    "NAL_AUD",
    "NAL_IDR",
    "NAL_PPS",
    "NAL_SPS",
    "Bits",
    "LossDetector",
    "nal_units",
    "parameter_sets",
]

NAL_AUD = 9
NAL_SLICE, NAL_IDR, NAL_SEI, NAL_SPS, NAL_PPS = 1, 5, 6, 7, 8
HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 138, 139, 134, 135, 244}
HEAD_BYTES = 64  # of a NAL unit: what is read here lies before


class LossDetector:
    """Finds lost frames in the access units of one stream, Annex B, in the order they arrive.

    A lost packet is not an error to a decoder: it goes on from the wrong frame. ``frame_num``
    counts reference frames, so that a hole in it is a loss.
    """

    def __init__(self, extradata: bytes | None = None) -> None:
        self._bits: int | None = None  # of frame_num; None: no SPS that is understood yet
        self._last: int | None = None  # frame_num of the newest reference frame
        if extradata:
            self.lost_before(extradata)

    def lost_before(self, unit: bytes) -> bool:
        """Whether reference frames are missing between the last access unit and this one."""
        for start, end in nal_units(unit):
            nal = unit[start : min(end, start + HEAD_BYTES)]
            kind = nal[0] & 31
            if kind == NAL_SPS:
                self._bits = _frame_num_bits(nal)
            elif kind in (NAL_SLICE, NAL_IDR) and self._bits is not None:
                try:
                    return self._count(nal, self._bits)
                except ValueError:
                    return True  # a slice without its whole head
        return False

    def _count(self, nal: bytes, bits: int) -> bool:
        """Follows frame_num over the first slice of a frame; the others repeat it."""
        reader = Bits(nal[1:])
        for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
            reader.ue()
        number, last = reader.u(bits), self._last
        if nal[0] & 31 == NAL_IDR:
            self._last = number
            return False
        if nal[0] >> 5 & 3:  # others refer to it: the next one counts on
            self._last = number
        return last is not None and (number - last) % (1 << bits) > 1


def parameter_sets(unit: bytes) -> bytes:
    """Returns the SPS and PPS of an access unit, Annex B. Where they change, a track must end."""
    found = []
    for start, end in nal_units(unit):
        kind = unit[start] & 31
        if kind in (NAL_SPS, NAL_PPS):
            found.append(unit[start:end].rstrip(b"\0"))
        elif kind <= NAL_IDR:
            break  # they come before the slices
    return b"\0\0\1".join(found)


def nal_units(unit: bytes) -> Iterator[tuple[int, int]]:
    """Where each NAL unit begins, at its header byte, and where what follows it begins."""
    start = unit.find(b"\0\0\1") + 3
    while 3 <= start < len(unit):
        following = unit.find(b"\0\0\1", start)
        yield start, following if following >= 0 else len(unit)
        start = following + 3 if following >= 0 else len(unit)


def _frame_num_bits(sps: bytes) -> int | None:
    """Returns an SPS's log2_max_frame_num; None where scaling lists come before it."""
    try:
        reader = Bits(sps[1:])
        profile = reader.u(8)
        reader.u(16)  # constraints, level
        reader.ue()  # seq_parameter_set_id
        if profile in HIGH_PROFILES:
            if reader.ue() == 3:  # chroma_format_idc
                return None  # separate colour planes would shift a slice's head
            reader.ue()  # bit depths
            reader.ue()
            reader.u(1)
            if reader.u(1):
                return None
        return reader.ue() + 4
    except ValueError:
        return None


class Bits:
    """Bits of a NAL unit's payload, its emulation prevention bytes taken out."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data.replace(b"\0\0\3", b"\0\0"))
        self._position = 0

    def u(self, count: int) -> int:
        """Returns the next ``count`` bits. Raises ValueError past the end."""
        start, self._position = self._position, self._position + count
        if self._position > len(self._bits):
            raise ValueError("there are no more bits")
        return int(self._bits[start : self._position] or "0", 2)

    def ue(self) -> int:
        """Returns the next Exp-Golomb code (9.1). Raises ValueError past the end."""
        one = self._bits.index("1", self._position)
        zeros, self._position = one - self._position, one
        return self.u(zeros + 1) - 1
