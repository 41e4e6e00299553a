"""Between PyAV's images and our frames: any pixel format in, 4:2:0 or R'G'B' in 8 bits out.

The matrix and the range of what comes in are kept, never taken from a library's default.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from streamsr.core.frame import ColourTags, Frame, Plane

__all__ = ["SRGB", "from_av", "planes_of", "scaler_matrix", "set_colour", "to_av"]

SRGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)
_YUV420 = {"yuv420p", "yuvj420p"}
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def planes_of(image: av.VideoFrame) -> tuple[Plane, ...]:
    """Returns views of an 8-bit image's planes: (h, w) each, or (h, w, 3) of packed RGB."""
    channels = 3 if image.format.name == "rgb24" else 1
    planes = []
    for plane in image.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        view = rows[: plane.height, : plane.width * channels]
        planes.append(view if channels == 1 else view.reshape(plane.height, plane.width, channels))
    return tuple(planes)


def from_av(
    image: av.VideoFrame,
    *,
    pts: int,
    time_base: Fraction,
    arrived: float = 0.0,
    discontinuous: bool = False,
    rotation: int = 0,
) -> Frame:
    """Converts a decoded image: views of its planes where it is 8-bit 4:2:0, a copy elsewhere.

    ``rotation`` is what it is to be turned by to stand upright, in degrees counter-clockwise,
    a multiple of 90.
    """
    colour = _colour_of(image)
    if image.format.name not in _YUV420:
        image = _converted(image, colour)
    planes = planes_of(image)
    if rotation % 360:
        planes = tuple(np.ascontiguousarray(np.rot90(p, rotation // 90)) for p in planes)
    return Frame(planes, colour, pts, time_base, arrived, discontinuous)


def to_av(frame: Frame) -> av.VideoFrame:
    """Makes an image for an encoder, its colour tags set: one copy of the planes."""
    name = "rgb24" if frame.is_rgb else "yuv420p"
    image = av.VideoFrame(frame.width, frame.height, name)
    for plane, target in zip(frame.planes, planes_of(image), strict=True):
        target[...] = plane
    image.pts = frame.pts
    image.time_base = frame.time_base
    set_colour(image, frame.colour)
    return image


def set_colour(target: av.VideoFrame | av.VideoCodecContext, tags: ColourTags) -> None:
    """Tags an image, or all that an encoder writes."""
    target.colorspace = tags.matrix
    target.color_primaries = tags.primaries
    target.color_trc = tags.transfer
    target.color_range = ColorRange.JPEG if tags.full_range else ColorRange.MPEG


def _colour_of(image: av.VideoFrame) -> ColourTags:
    if image.format.is_rgb or image.format.name == "pal8":
        return SRGB
    full = image.color_range == ColorRange.JPEG or image.format.name.startswith("yuvj")
    # a still states no range, and in grey is of full range as PNGs are
    still = image.color_range == ColorRange.UNSPECIFIED
    whole = image.format.chroma_width(image.width) == image.width
    tags = ColourTags(
        matrix=int(image.colorspace),
        primaries=int(image.color_primaries),
        transfer=int(image.color_trc),
        full_range=full or (still and image.format.name.startswith("gray")),
        # the scaler that halves full-width chroma takes the middle of each pair
        chroma=ColourTags.CHROMA_CENTRE if whole else ColourTags.CHROMA_LEFT,
    )
    return tags.resolved(image.height)


def _converted(image: av.VideoFrame, colour: ColourTags) -> av.VideoFrame:
    if colour.matrix == 0:
        return image.reformat(format="rgb24", interpolation=_SCALER)
    grey = image.format.name.startswith("gray")  # the scaler takes it for full range, always
    span = ColorRange.JPEG if colour.full_range or grey else ColorRange.MPEG
    matrix = scaler_matrix(colour.matrix)
    return image.reformat(
        format="yuv420p",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=span,
        dst_color_range=span,
        interpolation=_SCALER,
    )


def scaler_matrix(matrix: int) -> int:
    """Returns the matrix as PyAV's scaler has it: one number for both systems of BT.601."""
    return matrix if matrix in (1, 4, 7, 9) else ColourTags.BT601_625
