"""Images of every kind, opened: which kind one is, and whether it is one or a batch of them."""

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from os import PathLike
from typing import Any, get_args

import av
import numpy as np
import torch

from streamsr.api.images.arrays import (
    NumpyImage,
    axes_before,
    is_readable,
    kept_in_memory,
    numpy_of,
    opened_array,
)
from streamsr.api.images.kinds import Layout, OpenedImage
from streamsr.api.images.planes import (
    axes_before_planes,
    have_shapes_of_planes,
    opened_packed_planes,
    opened_planes,
)
from streamsr.api.images.video_frames import opened_video_frame
from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags

__all__ = ["UNSPECIFIED", "ImageReader", "is_array", "stacked"]

UNSPECIFIED = ColourTags()


def is_array(images: object) -> bool:
    """Returns whether it is an image, or an array of them."""
    if isinstance(images, tuple):
        return axes_before_planes(images) is not None
    return isinstance(images, av.VideoFrame) or is_readable(images)


def stacked(made: list[Any], clip: Any) -> Any:
    """Returns what was made of the images of a clip as one array, like that."""
    if isinstance(clip, torch.Tensor):
        return kept_in_memory(torch.stack(made), clip)
    return np.stack(made).astype(made[0].dtype, copy=False)  # stacked, its bytes are native


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Opens images. ``layout`` is of one image, None: as its shape and its library suggest;
    ``colour`` of planes that say nothing of theirs."""

    layout: Layout | None = None
    colour: ColourTags = UNSPECIFIED

    def __post_init__(self) -> None:
        """Raises InputError for a layout that there is not, and for what are no colours."""
        allowed = get_args(Layout)
        if self.layout is not None and self.layout not in allowed:
            raise InputError(f"layout: got {self.layout!r}, allowed are {', '.join(allowed)}")
        if not isinstance(self.colour, ColourTags):
            raise InputError(f"colour: got {self.colour!r}, allowed is a streamsr.ColourTags")

    def opened(self, image: Any) -> OpenedImage:
        """Opens one image. Raises InputError."""
        if isinstance(image, av.VideoFrame):
            return opened_video_frame(image)
        if isinstance(image, tuple):
            if not is_array(image):
                raise _no_planes(image)
            return opened_planes(image, self.colour)
        return self._array(numpy_of(image))

    def axes_before(self, image: Any) -> int:
        """Returns how many axes an array has before those of an image, 0 of what is no array.

        Raises InputError for what is no image.
        """
        if isinstance(image, av.VideoFrame):
            return 0
        if isinstance(image, tuple):
            if (before := axes_before_planes(image)) is None:
                raise _no_planes(image)
            return before
        return axes_before(numpy_of(image), self.layout)

    def check_clip(self, images: Any) -> None:
        """Raises InputError for what are no images one after another."""
        is_clip = isinstance(images, tuple) and not have_shapes_of_planes(images)
        if is_array(images) and not is_clip and (before := self.axes_before(images)) != 1:
            got = "clips: each is one of its own" if before else "one image: upscale() takes one"
            raise InputError(f"images: got {got}, allowed is a clip")
        several = isinstance(images, Iterable | AsyncIterable)
        if not several or isinstance(images, str | bytes | PathLike):
            allowed = "iterables of images; upscale_file() takes paths"
            raise InputError(f"images: got {type(images).__name__}, allowed are {allowed}")

    def _array(self, source: NumpyImage) -> OpenedImage:
        if self.layout in ("nv12", "i420"):
            return opened_packed_planes(source, self.layout, self.colour)
        return opened_array(source, self.layout)


def _no_planes(image: tuple[Any, ...]) -> InputError:
    return InputError(
        f"image: got a tuple of {len(image)}, allowed are (Y, Cb, Cr) and (Y, CbCr); (image, tag) "
        "of a clip; a clip is a list"
    )
