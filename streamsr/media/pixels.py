"""Between PyAV's images and our frames: any pixel format in, 4:2:0 or R'G'B' out.

The matrix and the range of what comes in are kept, never taken from a library's default.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from struct import iter_unpack, unpack

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame, HdrMetadata, Plane
from streamsr.media.orientation import UPRIGHT, Orientation
from streamsr.media.tone_curve import HDR_TRANSFERS

__all__ = [
    "FORMATS",
    "SRGB",
    "bits_of",
    "colour_of",
    "convertible",
    "from_av",
    "hdr_metadata",
    "in_depth",
    "luma_rows",
    "planes_of",
    "rgb_of",
    "scaler_matrix",
    "set_colour",
    "to_av",
]

SRGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)
_FORMAT_OF = {
    (False, 8): "yuv420p",
    (False, 10): "yuv420p10le",
    (True, 8): "rgb24",
    (True, 16): "rgb48le",
}
FORMATS = {"yuvj420p", *_FORMAT_OF.values()}
"""The pixel formats whose planes are a frame's."""
ABORTING = ("bayer", "yaf")  # formats on which FFmpeg's scaler ends the process, of some sizes
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
# Keys' bicubic (a = -0.5): the weights of five samples, for a place seen from the middle one.
AT = np.array([0, 0, 1, 0, 0], np.float32)
HALF_AFTER = np.array([0, -0.0625, 0.5625, 0.5625, -0.0625], np.float32)
QUARTER_AFTER = np.array([0, -0.0703125, 0.8671875, 0.2265625, -0.0234375], np.float32)
QUARTER_BEFORE = QUARTER_AFTER[::-1].copy()
BETWEEN, COSITED = (QUARTER_BEFORE, QUARTER_AFTER), (AT, HALF_AFTER)  # even places, odd places


def planes_of(image: av.VideoFrame) -> tuple[Plane, ...]:
    """Returns views of an image's planes: (h, w) each, or (h, w, 3) of packed RGB."""
    channels = 3 if image.format.name.startswith("rgb") else 1
    kind = np.dtype(np.uint8 if bits_of(image) == 8 else np.uint16)
    planes: list[Plane] = []
    for plane in image.planes:
        samples = np.frombuffer(memoryview(plane), kind)
        rows = samples.reshape(-1, plane.line_size // kind.itemsize)
        view = rows[: plane.height, : plane.width * channels]
        planes.append(view if channels == 1 else view.reshape(plane.height, plane.width, channels))
    return tuple(planes)


def luma_rows(image: av.VideoFrame, columns: int) -> NDArray[np.int16]:
    """Returns every row of so many columns of an image's luma, in levels of 8 bits: (h, w)."""
    name, bits = image.format.name, image.format.components[0].bits
    deep = bits > 8 and name.endswith("le") and name.startswith(("yuv", "gray1"))
    if not deep and not (bits == 8 and name.startswith(("yuv4", "yuvj", "yuva", "nv", "gray"))):
        image, bits = image.reformat(format="gray"), 8
    plane = image.planes[0]
    samples = np.frombuffer(memoryview(plane), "<u2" if deep else np.uint8)
    rows = samples.reshape(plane.height, -1)[:, : plane.width : max(1, plane.width // columns)]
    return np.asarray(rows >> (bits - 8), np.int16)


def bits_of(image: av.VideoFrame) -> int:
    """Returns how many bits a sample of an image has, 8 where it has fewer."""
    return max(8, *(component.bits for component in image.format.components))


def from_av(
    image: av.VideoFrame,
    *,
    pts: int,
    time_base: Fraction,
    arrived: float = 0.0,
    discontinuous: bool = False,
    packet_bytes: int = 0,
    orientation: Orientation = UPRIGHT,
    duration: int = 0,
    captured: float = 0.0,
) -> Frame:
    """Converts a decoded image: views of its planes where it is of ``FORMATS``, and of any other
    pixel format a copy in 8 bits. More bits, and HDR, are for ``DepthConverter`` first.
    """
    colour, keyframe = colour_of(image), image.key_frame
    if image.format.name not in FORMATS:
        image = in_depth(image, colour, 8)
    return Frame(
        tuple(orientation.upright(plane) for plane in planes_of(image)),
        colour,
        pts,
        time_base,
        arrived,
        discontinuous,
        packet_bytes=packet_bytes,
        keyframe=keyframe,
        depth=bits_of(image),
        hdr=hdr_metadata(image) if colour.transfer in HDR_TRANSFERS else None,
        duration=duration,
        captured=captured,
    )


def to_av(frame: Frame) -> av.VideoFrame:
    """Makes an image for an encoder, its colour tags set: one copy of the planes.

    Depths that are not of ``FORMATS`` become 8 bits.
    """
    name = _FORMAT_OF.get((frame.is_rgb, frame.depth))
    if name is None:
        frame = frame.in_8_bits()
        name = _FORMAT_OF[frame.is_rgb, 8]
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


def colour_of(image: av.VideoFrame) -> ColourTags:
    """Returns how an image's samples mean colours, nothing unspecified."""
    if image.format.is_rgb or image.format.name == "pal8":
        transfer = int(image.color_trc)
        if transfer in HDR_TRANSFERS:
            return replace(SRGB, primaries=ColourTags.BT2020, transfer=transfer)
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
    if tags.transfer in HDR_TRANSFERS and tags.matrix == ColourTags.UNSPECIFIED:
        tags = replace(tags, matrix=ColourTags.BT2020, primaries=ColourTags.BT2020)
    return tags.resolved(image.height)


def hdr_metadata(image: av.VideoFrame) -> HdrMetadata | None:
    """Returns what an image says of the display it was mastered on, and of its light."""
    display = _side_data(image, Type.MASTERING_DISPLAY_METADATA)
    light = _side_data(image, Type.CONTENT_LIGHT_LEVEL)
    if not display and not light:
        return None
    points: tuple[int, ...] = ()
    luminance: tuple[int, ...] = ()
    if display:  # AVMasteringDisplayMetadata: ten rationals, two flags
        ratios = [a / b if b else 0.0 for a, b in iter_unpack("=ii", display[:80])]
        has_primaries, has_luminance = unpack("=ii", display[80:88])
        points = tuple(round(ratio * 50_000) for ratio in ratios[:8]) if has_primaries else ()
        luminance = tuple(round(r * 10_000) for r in ratios[8:]) if has_luminance else ()
    return HdrMetadata(points, luminance, unpack("=II", light[:8]) if light else ())


def _side_data(image: av.VideoFrame, kind: Type) -> bytes:
    data = image.side_data.get(kind.name)
    return bytes(data) if isinstance(data, SideData) else b""


def in_depth(image: av.VideoFrame, colour: ColourTags, bits: int) -> av.VideoFrame:
    """Returns an image in 4:2:0 of 8 or 10 bits, or R'G'B' of 8 or 16, its colours kept.

    Raises InputError for a pixel format that FFmpeg does not convert.
    """
    with convertible(image):
        return _in_depth(image, colour, bits)


@contextmanager
def convertible(image: av.VideoFrame) -> Iterator[None]:
    """Raises InputError where FFmpeg cannot convert the image, and before it would abort."""
    name = image.format.name
    reason = "FFmpeg cannot convert it"
    if name.startswith(ABORTING):
        raise InputError(f"pixel format {name!r}: {reason}")
    try:
        yield
    except av.FFmpegError as error:
        raise InputError(f"pixel format {name!r}: {reason}: {error.strerror}") from None


def _in_depth(image: av.VideoFrame, colour: ColourTags, bits: int) -> av.VideoFrame:
    is_rgb = colour.matrix == 0
    grey = image.format.name.startswith("gray")  # the scaler takes it for full range, always
    span = ColorRange.JPEG if colour.full_range or grey else ColorRange.MPEG
    matrix = None if is_rgb else scaler_matrix(colour.matrix)
    made = image.reformat(
        format=_FORMAT_OF[is_rgb, 16 if is_rgb and bits > 8 else bits],
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=None if is_rgb else span,
        dst_color_range=None if is_rgb else span,
        interpolation=_SCALER,
    )
    set_colour(made, colour)
    return made


def scaler_matrix(matrix: int) -> int:
    """Returns the matrix as PyAV's scaler has it: one number for both systems of BT.601."""
    return matrix if matrix in (1, 4, 7, 9) else ColourTags.BT601_625


def rgb_of(frame: Frame) -> Plane:
    """Returns a frame's R'G'B', (h, w, 3) uint8, by its matrix, range and siting.

    FFmpeg's scaler takes every chroma for sited between its luma columns, which moves that of most
    video by a quarter of a pixel, up to 25 levels at an edge. Here it is brought to luma's size by
    Keys' bicubic with mirrored borders; nothing is rounded before the end.
    """
    frame = frame.in_8_bits()
    if frame.is_rgb:
        return frame.planes[0]
    luma, *chroma = frame.planes
    doubled = (_doubled(plane, frame.colour)[: frame.height, : frame.width] for plane in chroma)
    levels = cv2.merge([luma.astype(np.float32), *doubled])
    rgb = cv2.transform(levels, _matrix(frame.colour))
    rgb = cv2.addWeighted(rgb, 1, rgb, 0, 0, dtype=cv2.CV_8U)  # rounded, and cut at 0 and 255
    return np.asarray(rgb, np.uint8)


def _doubled(chroma: Plane, tags: ColourTags) -> NDArray[np.float32]:
    """A plane of chroma at luma's size: (h, w) to (2h, 2w)."""
    height, width = chroma.shape
    doubled = np.empty((2 * height, 2 * width), np.float32)
    for row, down in enumerate(BETWEEN):
        for column, across in enumerate(COSITED if tags.chroma == tags.CHROMA_LEFT else BETWEEN):
            doubled[row::2, column::2] = cv2.sepFilter2D(
                chroma, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT
            )
    return doubled


def _matrix(tags: ColourTags) -> NDArray[np.float64]:
    """(3, 4): what Y, Cb, Cr and 1 are multiplied by, for R', G' and B' each."""
    black, luma_span, chroma_span = tags.spans
    kr, kb = tags.kr_kb
    red, blue = 2 * (1 - kr), 2 * (1 - kb)
    green = [-blue * kb / (1 - kr - kb), -red * kr / (1 - kr - kb)]
    rows = np.array([[1, 0, red], [1, *green], [1, blue, 0]])
    rows *= np.array([255 / luma_span, 255 / chroma_span, 255 / chroma_span])
    return np.column_stack([rows, rows @ [-black, -128, -128]])
