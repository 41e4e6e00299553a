"""Between PyAV's pictures and ours: any pixel format in, 4:2:0 or R'G'B' in 8 bits out.

The matrix and the range of what comes in are kept, never guessed from a default.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from streamsr.core.frame import ColourTags, Frame, Plane

__all__ = ["from_av", "planes_of", "to_av"]

_PLAIN = {"yuv420p", "yuvj420p"}
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def planes_of(picture: av.VideoFrame) -> tuple[Plane, ...]:
    """Views of an 8-bit picture's planes: (h, w) each, or (h, w, 3) of packed RGB."""
    packed = picture.format.name == "rgb24"
    planes = []
    for plane in picture.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
            : plane.height
        ]
        row_bytes = plane.width * (3 if packed else 1)
        view = rows[:, :row_bytes]
        planes.append(view.reshape(plane.height, plane.width, 3) if packed else view)
    return tuple(planes)


def from_av(
    picture: av.VideoFrame,
    *,
    pts: int,
    time_base: Fraction,
    arrived: float = 0.0,
    discontinuous: bool = False,
    rotation: int = 0,
) -> Frame:
    """Convert a decoded picture: views of its planes where its format is plain, a copy elsewhere.

    ``rotation`` is what it is to be turned by to stand upright, in degrees counter-clockwise,
    a multiple of 90.
    """
    colour = _colour_of(picture)
    if picture.format.name not in _PLAIN:
        picture = _plain(picture, colour)
    planes = planes_of(picture)
    if rotation % 360:
        planes = tuple(np.ascontiguousarray(np.rot90(p, rotation // 90)) for p in planes)
    return Frame(planes, colour, pts, time_base, arrived, discontinuous)


def to_av(frame: Frame) -> av.VideoFrame:
    """Make a picture for an encoder, its colour tags set: one copy of the planes."""
    name = "rgb24" if frame.is_rgb else "yuv420p"
    picture = av.VideoFrame(frame.width, frame.height, name)
    for plane, target in zip(frame.planes, planes_of(picture), strict=True):
        target[...] = plane
    picture.pts = frame.pts
    picture.time_base = frame.time_base
    picture.colorspace = frame.colour.matrix
    picture.color_primaries = frame.colour.primaries
    picture.color_trc = frame.colour.transfer
    picture.color_range = ColorRange.JPEG if frame.colour.full_range else ColorRange.MPEG
    return picture


def _colour_of(picture: av.VideoFrame) -> ColourTags:
    full = picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj")
    if picture.format.is_rgb or picture.format.name == "pal8":
        return ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)
    whole = picture.format.chroma_width(picture.width) == picture.width
    tags = ColourTags(
        matrix=int(picture.colorspace),
        primaries=int(picture.color_primaries),
        transfer=int(picture.color_trc),
        full_range=full or (picture.format.name.startswith("gray") and _is_still(picture)),
        # the scaler that halves full-width chroma takes the middle of each pair
        chroma=ColourTags.CHROMA_CENTRE if whole else ColourTags.CHROMA_LEFT,
    )
    return tags.resolved(picture.height)


def _is_still(picture: av.VideoFrame) -> bool:
    """Whether a grey picture without a stated range is a still image, of full range as PNGs are."""
    return picture.color_range == ColorRange.UNSPECIFIED


def _plain(picture: av.VideoFrame, colour: ColourTags) -> av.VideoFrame:
    if colour.matrix == 0:
        return picture.reformat(format="rgb24", interpolation=_SCALER)
    grey = picture.format.name.startswith("gray")  # the scaler takes it for full range, always
    span = ColorRange.JPEG if colour.full_range or grey else ColorRange.MPEG
    matrix = colour.matrix if colour.matrix in (1, 4, 5, 7, 9) else ColourTags.BT601_625
    return picture.reformat(
        format="yuv420p",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=span,
        dst_color_range=span,
        interpolation=_SCALER,
    )
