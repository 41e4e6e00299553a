"""A decoded frame and its colour description: what the data path hands from stage to stage."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColourTags", "Frame", "HdrMetadata", "Plane"]

Plane = NDArray[np.unsignedinteger[Any]]
"""Samples, uint8 where nothing else is said."""

_KR_KB = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


@dataclass(frozen=True, slots=True)
class ColourTags:
    """How samples mean colours, by the code points of ITU-T H.273; 2 is "unspecified"."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool = False
    chroma: int = 1  # FFmpeg's chroma location: 1 left (MPEG-2), 2 centre (JPEG)

    BT709 = 1
    UNSPECIFIED = 2
    BT601_625 = 5
    BT601_525 = 6
    BT2020 = 9
    CHROMA_LEFT = 1
    CHROMA_CENTRE = 2

    @property
    def kr_kb(self) -> tuple[float, float]:
        """Red's and blue's share of luma, by the matrix; BT.601's where it states none."""
        return _KR_KB.get(self.matrix, _KR_KB[self.BT601_625])

    @property
    def spans(self) -> tuple[float, float, float]:
        """The level of black, and how many of the 256 levels luma and chroma span."""
        return (0.0, 255.0, 255.0) if self.full_range else (16.0, 219.0, 224.0)

    def resolved(self, height: int) -> Self:
        """Returns the tags with what is unspecified as players guess it: BT.601 up to 576 lines,
        else BT.709.

        An upscaled frame must say so, since players would guess again from its new height.
        """
        if self.matrix != self.UNSPECIFIED:
            return self
        guess = self.BT601_525 if height <= 576 else self.BT709
        known = {n: v for n in ("primaries", "transfer") if (v := getattr(self, n)) != 2}
        return replace(self, **{"primaries": guess, "transfer": guess, **known, "matrix": guess})


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """What a stream of HDR says of its light; what it does not say is empty."""

    points: tuple[int, ...]  # of SMPTE ST 2086: x, y of red, green, blue and white, in 1/50000
    luminance: tuple[int, ...]  # of the mastering display: least, most, in 1/10000 cd/m²
    content_light: tuple[int, ...]  # of CTA-861.3: MaxCLL and MaxFALL, in cd/m²


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame in 8 bits, or in up to 16.

    ``planes`` are (Y, Cb, Cr) of 4:2:0, each (h, w), chroma ``ceil`` halved; or one packed
    (h, w, 3) R'G'B' array of full range, whose ``colour.matrix`` is 0. They are uint8 of 8 bits,
    and uint16 of more. Planes may be views of a decoder's memory: read them, never write.
    """

    planes: tuple[Plane, ...] = field(repr=False)
    colour: ColourTags
    pts: int  # in units of time_base, strictly rising within a stream
    time_base: Fraction  # seconds
    arrived: float = 0.0  # monotonic seconds: when its last packet was read
    discontinuous: bool = False  # nothing before this frame has to do with it
    after_gap: bool = False  # frames of the same scene were left out before it
    packet_bytes: int = 0  # that it was coded in; 0: it was not coded, or nobody knows
    keyframe: bool = False  # it was coded without those before it
    depth: int = 8  # bits of a sample
    hdr: HdrMetadata | None = None
    duration: int = 0  # in units of time_base; 0: as the stream's rate says
    captured: float = 0.0  # Unix seconds by its camera's clock; 0: the camera does not say

    def __post_init__(self) -> None:
        if not 8 <= self.depth <= 16:
            raise ValueError(f"depth: got {self.depth}, allowed is 8 to 16")
        allowed = np.dtype(np.uint8 if self.depth == 8 else np.uint16)
        for plane in self.planes:
            if plane.dtype != allowed:
                raise ValueError(
                    f"planes: got {plane.dtype}, allowed is {allowed} of {self.depth} bits"
                )
        shapes = [plane.shape for plane in self.planes]
        height, width = shapes[0][:2]
        chroma = (-(-height // 2), -(-width // 2))
        if shapes not in ([(height, width), chroma, chroma], [(height, width, 3)]):
            raise ValueError(f"planes: got shapes {shapes}, allowed are 4:2:0 or one (h, w, 3)")

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def is_rgb(self) -> bool:
        return len(self.planes) == 1

    @property
    def most(self) -> int:
        """The highest sample there may be."""
        return (1 << self.depth) - 1

    @property
    def step(self) -> float:
        """How many samples are one level of 8 bits."""
        whole = self.is_rgb or self.colour.full_range
        return self.most / 255 if whole else float(1 << self.depth - 8)

    @property
    def brightness(self) -> NDArray[np.uint8]:
        """The luma, or of R'G'B' the green, which is most of it, in 8 bits: (h, w)."""
        plane = self.planes[0] if self.depth == 8 else self._in_8_bits(0)
        return np.asarray(plane[..., 1] if self.is_rgb else plane, np.uint8)

    def in_8_bits(self) -> "Frame":
        """Returns the frame rounded to 8 bits."""
        if self.depth == 8:
            return self
        planes = tuple(self._in_8_bits(number) for number in range(len(self.planes)))
        return replace(self, planes=planes, depth=8)

    def levels_of(self, number: int) -> NDArray[np.float32]:
        """Returns a plane in levels of 8 bits, with fractions where there are more."""
        levels: NDArray[np.float32] = self.planes[number].astype(np.float32)
        if self.depth > 8:
            middle = self._middle(number)
            levels = (levels - middle) / np.float32(self.step) + min(middle, 128)
        return levels

    def samples_of(self, number: int, levels: NDArray[np.float32]) -> Plane:
        """Returns samples of this frame's depth for a plane in levels of 8 bits, of any size."""
        if self.depth > 8:
            middle = self._middle(number)
            levels = (levels - min(middle, 128)) * np.float32(self.step) + middle
        kind = np.uint8 if self.depth == 8 else np.uint16
        samples: Plane = np.rint(levels).clip(0, self.most).astype(kind)
        return samples

    def _middle(self, number: int) -> int:
        """The sample that stands still between depths: 128 of chroma's levels, else 0."""
        return 1 << (self.depth - 1) if number else 0

    def _in_8_bits(self, number: int) -> NDArray[np.uint8]:
        return np.asarray(np.rint(self.levels_of(number)).clip(0, 255), np.uint8)

    def cropped(self, multiple: int) -> "Frame":
        """Returns the frame without what its right and its bottom have beyond an even ``multiple``.

        Raises ValueError where nothing would be left.
        """
        height, width = (side - side % multiple for side in (self.height, self.width))
        if not height or not width:
            raise ValueError(
                f"frame: got {self.width}x{self.height}, allowed are sides from {multiple} on"
            )
        first, *chroma = self.planes
        halves = (plane[: height // 2, : width // 2] for plane in chroma)
        return replace(self, planes=(first[:height, :width], *halves))

    @property
    def time_s(self) -> float:
        """When the frame is shown, in seconds of its stream."""
        return float(self.pts * self.time_base)
