"""Reading just enough of H.264 to notice that pictures are missing (ITU-T H.264, 7.3).

A lost packet is not an error to a decoder: it goes on from the wrong picture. ``frame_num`` counts
reference pictures, so that a hole in it is a loss.
"""

from collections.abc import Iterator

__all__ = ["LossDetector"]

NAL_SLICE, NAL_IDR, NAL_SPS = 1, 5, 7
HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 138, 139, 134, 135, 244}
HEAD_BYTES = 64  # of a NAL unit: what is read here lies before


class LossDetector:
    """Watches the access units of one stream, Annex B, in the order in which they arrive."""

    def __init__(self, extradata: bytes | None = None) -> None:
        self._bits: int | None = None  # of frame_num; None: no SPS that is understood yet
        self._last: int | None = None  # frame_num of the newest reference picture
        if extradata:
            self.lost_before(extradata)

    def lost_before(self, unit: bytes) -> bool:
        """Whether reference pictures are missing between the last access unit and this one."""
        for nal in _nal_units(unit):
            kind = nal[0] & 31
            if kind == NAL_SPS:
                self._bits = _frame_num_bits(nal)
            elif kind in (NAL_SLICE, NAL_IDR) and self._bits is not None:
                try:
                    return self._count(nal, self._bits)
                except IndexError:
                    return True  # a slice without its whole head
        return False

    def _count(self, nal: bytes, bits: int) -> bool:
        """Follow frame_num over the first slice of a picture; the others repeat it."""
        reader = _Bits(nal[1:])
        for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
            reader.ue()
        number, last = reader.u(bits), self._last
        if nal[0] & 31 == NAL_IDR:
            self._last = number
            return False
        if nal[0] >> 5 & 3:  # others refer to it: the next one counts on
            self._last = number
        return last is not None and (number - last) % (1 << bits) > 1


def _nal_units(unit: bytes) -> Iterator[bytes]:
    """The heads of the NAL units, each with its header byte."""
    start = unit.find(b"\0\0\1")
    while start >= 0:
        nal = unit[start + 3 : start + 3 + HEAD_BYTES]
        if nal:
            yield nal
        start = unit.find(b"\0\0\1", start + 3)


def _frame_num_bits(sps: bytes) -> int | None:
    """log2_max_frame_num of a sequence parameter set; None where scaling lists come before it."""
    try:
        reader = _Bits(sps[1:])
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
    except IndexError:
        return None


class _Bits:
    """Bits of a NAL unit's payload, its emulation prevention bytes taken out."""

    def __init__(self, data: bytes) -> None:
        self._data = data.replace(b"\0\0\3", b"\0\0")
        self._place = 0

    def u(self, count: int) -> int:
        """The next ``count`` bits. Raises IndexError past the end."""
        value = 0
        for _ in range(count):
            byte = self._data[self._place >> 3]
            value = value << 1 | byte >> (7 - (self._place & 7)) & 1
            self._place += 1
        return value

    def ue(self) -> int:
        """The next Exp-Golomb code (9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)
