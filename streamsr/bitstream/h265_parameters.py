"""H.265's parameter sets, as far as the heads of slices need them (ITU-T H.265, 7.3.2)."""

from dataclasses import dataclass

from streamsr.bitstream.h264 import Bits

__all__ = ["Pps", "Sps", "at_most", "read_pps", "read_reference_set", "read_sps"]

MOST_REFERENCES = 16
MOST_SETS = 64


@dataclass(frozen=True, slots=True)
class Sps:
    """What slices need of an SPS."""

    poc_bits: int
    separate_planes: bool
    address_bits: int  # of slice_segment_address
    reference_sets: list[dict[int, bool]]
    long_term: bool  # slices name long-term references
    long_term_sets: list[tuple[int, bool]]  # the low bits of a count, used by the frame


@dataclass(frozen=True, slots=True)
class Pps:
    """What slices need of a PPS."""

    sps: int
    dependent_slices: bool
    output_flag: bool
    extra_bits: int


def read_pps(reader: Bits) -> tuple[int, Pps]:
    """Reads a PPS (7.3.2.3); returns its number with it. Raises ValueError where it is damaged."""
    number, sps = reader.ue(), reader.ue()
    return number, Pps(sps, bool(reader.u(1)), bool(reader.u(1)), reader.u(3))


def read_sps(reader: Bits) -> tuple[int, Sps]:
    """Reads an SPS (7.3.2.2); returns its number with it. Raises ValueError where it is damaged."""
    reader.u(4)
    layers = reader.u(3)
    reader.u(1)
    _skip_profile(reader, layers)
    number = reader.ue()
    chroma = reader.ue()
    separate = chroma == 3 and bool(reader.u(1))
    width, height = reader.ue(), reader.ue()
    if reader.u(1):  # conformance_window_flag
        for _ in range(4):
            reader.ue()
    reader.ue()  # bit depths
    reader.ue()
    poc_bits = reader.ue() + 4
    for _ in range(layers + 1 if reader.u(1) else 1):
        for _ in range(3):
            reader.ue()
    smallest = reader.ue() + 3
    block = 1 << (smallest + reader.ue())
    for _ in range(4):
        reader.ue()
    if reader.u(1) and reader.u(1):
        _skip_scaling_lists(reader)
    reader.u(2)
    if reader.u(1):  # pcm_enabled_flag
        reader.u(8)
        reader.ue()
        reader.ue()
        reader.u(1)
    sets: list[dict[int, bool]] = []
    count = reader.ue()
    for index in range(at_most(count, MOST_SETS)):
        sets.append(read_reference_set(reader, sets, index, in_slice=False))
    long_term = bool(reader.u(1))
    kept = range(at_most(reader.ue(), 32) if long_term else 0)
    long_sets = [(reader.u(poc_bits), bool(reader.u(1))) for _ in kept]
    blocks = -(-width // block) * -(-height // block)
    sps = Sps(poc_bits, separate, (blocks - 1).bit_length(), sets, long_term, long_sets)
    return number, sps


def _skip_profile(reader: Bits, layers: int) -> None:
    """Reads past profile_tier_level (7.3.3)."""
    reader.u(96)
    present = [(reader.u(1), reader.u(1)) for _ in range(layers)]
    if layers:
        reader.u(2 * (8 - layers))
    for profile, level in present:
        reader.u(88 * profile + 8 * level)


def _skip_scaling_lists(reader: Bits) -> None:
    """Reads past scaling_list_data (7.3.4)."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not reader.u(1):
                reader.ue()
                continue
            for _ in range(min(64, 1 << (4 + 2 * size)) + (size > 1)):
                reader.ue()  # signed codes are as long


def read_reference_set(
    reader: Bits, sets: list[dict[int, bool]], index: int, *, in_slice: bool
) -> dict[int, bool]:
    """Reads st_ref_pic_set (7.3.7): which frames are kept, by their difference in order
    count, the nearest first and negative ones before positive ones; whether this frame uses them.

    Raises ValueError or IndexError where it is damaged.
    """
    if index and reader.u(1):
        back = reader.ue() + 1 if in_slice else 1
        sign = reader.u(1)
        shift = (1 - 2 * sign) * (reader.ue() + 1)
        found = {}
        for delta in [*sets[index - back], 0]:
            used = bool(reader.u(1))
            if used or reader.u(1):
                found[delta + shift] = used
        return _ordered(found)
    negative, positive = at_most(reader.ue()), at_most(reader.ue())
    found = {}
    for count, sign in ((negative, -1), (positive, 1)):
        delta = 0
        for _ in range(count):
            delta += sign * (reader.ue() + 1)
            found[delta] = bool(reader.u(1))
    return found


def _ordered(found: dict[int, bool]) -> dict[int, bool]:
    """Sorts differences as the index of a set counts them (7-61, 7-62)."""
    near_first = sorted(found, key=abs)
    return {
        d: found[d] for d in [*(d for d in near_first if d < 0), *(d for d in near_first if d > 0)]
    }


def at_most(count: int, limit: int = MOST_REFERENCES) -> int:
    """Returns ``count``. Raises ValueError where the standard has fewer: it is damaged."""
    if count > limit:
        raise ValueError(f"got {count}, allowed are {limit}")
    return count
