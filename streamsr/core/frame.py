"""A decoded frame and its colour description: what the data path hands from stage to stage."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColourTags", "Frame", "HdrMetadata", "Plane"]

Plane = NDArray[np.uint8]

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
    """One frame in 8 bits.

    ``planes`` are (Y, Cb, Cr) of 4:2:0, each (h, w), chroma ``ceil`` halved; or one packed
    (h, w, 3) R'G'B' array of full range, whose ``colour.matrix`` is 0. Planes may be views of
    a decoder's memory: read them, never write.
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

    def __post_init__(self) -> None:
        for plane in self.planes:
            if plane.dtype != np.uint8:
                raise ValueError(f"planes: got {plane.dtype}, allowed is uint8")
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
    def brightness(self) -> Plane:
        """The luma, or of R'G'B' the green, which is most of it: (h, w)."""
        return self.planes[0][..., 1] if self.is_rgb else self.planes[0]

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
