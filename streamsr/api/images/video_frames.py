"""PyAV's frames as ours, and back: format, colours, time and duration are kept."""

from fractions import Fraction
from functools import partial
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from streamsr.api.images.arrays import NumpyImage, opened_array
from streamsr.api.images.kinds import OpenedImage
from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.media.pixels import (
    FORMATS,
    bits_of,
    colour_of,
    convertible,
    from_av,
    in_depth,
    scaler_matrix,
    set_colour,
    to_av,
)

__all__ = ["opened_video_frame"]

OF_A_SIZE = {
    SideData.PANSCAN,
    SideData.MOTION_VECTORS,
    SideData.SPHERICAL,
    SideData.REGIONS_OF_INTEREST,
    SideData.VIDEO_ENC_PARAMS,
    SideData.DETECTION_BBOXES,
}
"""What is said of pixels, and would be wrong of larger frames."""

SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def opened_video_frame(image: av.VideoFrame) -> OpenedImage:
    """Opens an image of any pixel format, of more than 8 bits in 10, R'G'B' in 16.

    It comes back in its own, but for pal8, which comes back as rgba: no palette of 256 colours
    holds what lies between them.

    Raises InputError for a format that FFmpeg does not convert.
    """
    if not image.width or not image.height:
        raise InputError("image: got an av.VideoFrame of no pixels, allowed are images with pixels")
    is_palette = image.format.name == "pal8"
    if is_palette or any(component.is_alpha for component in image.format.components):
        return _transparent(image)
    colour, converted = colour_of(image), image
    if image.format.name not in FORMATS or bits_of(image) not in (8, 10, 16):
        with convertible(image):
            converted = in_depth(image, colour, 8 if bits_of(image) == 8 else 10)
    frame = from_av(converted, pts=0, time_base=Fraction(1))
    planes = tuple(np.array(plane) for plane in frame.planes)
    restore = partial(_restored, image)
    even = len(planes) == 3 and not image.format.name.startswith("gray")
    return OpenedImage(planes, colour, restore, frame.depth, image.pts, image.time_base, even=even)


def _restored(image: av.VideoFrame, frame: Frame) -> av.VideoFrame:
    """The upscaled frame in the format of what it was made of."""
    made, wanted = to_av(frame), image.format.name
    if wanted != made.format.name:
        full = frame.colour.full_range or wanted.startswith("gray")
        span = None if frame.is_rgb else (ColorRange.JPEG if full else ColorRange.MPEG)
        matrix = None if frame.is_rgb else scaler_matrix(frame.colour.matrix)
        with convertible(image):
            made = made.reformat(
                format=wanted,
                src_colorspace=matrix,
                dst_colorspace=matrix,
                src_color_range=span,
                dst_color_range=span,
                interpolation=SCALER,
            )
    return _timed(made, image, frame.colour)


def _transparent(image: av.VideoFrame) -> OpenedImage:
    """An image with alpha, by way of R'G'B' and alpha in 8 bits."""
    name = image.format.name
    with convertible(image):
        samples = image.to_ndarray(format="rgba")

    def restore(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> av.VideoFrame:
        made = av.VideoFrame.from_ndarray(array, format="rgba")
        if name not in ("rgba", "pal8"):
            with convertible(image):
                made = made.reformat(format=name)
        return _timed(made, image, colour_of(image))

    opened = opened_array(NumpyImage(samples, restore), "hwc")
    return OpenedImage(opened.planes, opened.colour, opened.restore, 8, image.pts, image.time_base)


def _timed(made: av.VideoFrame, image: av.VideoFrame, colour: ColourTags) -> av.VideoFrame:
    """Gives an image the colours, the time and what else is said of another."""
    made = _described(made, image)
    set_colour(made, colour)
    made.pts, made.duration, made.opaque = image.pts, image.duration, image.opaque
    made.time_base = image.time_base or Fraction(0)  # which is none
    return made


def _described(made: av.VideoFrame, image: av.VideoFrame) -> av.VideoFrame:
    """Returns an image with the side data of another, such as rotation, captions and HDR.

    PyAV writes none: a frame that it has scaled has its source's, and gets the pixels.
    """
    try:
        said: Any = image.side_data  # which stubs take for something else
        kinds = {one.type for one in said}
    except ValueError:  # a kind that PyAV does not know
        return made
    if not kinds or kinds & OF_A_SIZE:
        return made
    wider = image.reformat(width=made.width + 2, interpolation=Interpolation.POINT)
    like = wider.reformat(made.width, made.height, made.format.name)
    for plane, source in zip(like.planes, made.planes, strict=True):
        rows, from_rows = _rows(plane), _rows(source)
        width = min(rows.shape[1], from_rows.shape[1])
        rows[:, :width] = from_rows[:, :width]
    return like


def _rows(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    """The bytes of a plane, a row each."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
