"""What the library takes for an image, and what is known of one once it is opened."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, Protocol, TypeVar

import av
from numpy.typing import NDArray
from torch import Tensor

from streamsr.core.frame import ColourTags, Frame, Plane

__all__ = [
    "Array",
    "ArrayImage",
    "Image",
    "Item",
    "Layout",
    "OpenedImage",
    "ReadableImage",
    "Tag",
    "VideoItem",
]

Array = NDArray[Any]
USUAL_STEP = Fraction(1, 25)  # seconds between images that have no time
Layout = Literal["hwc", "chw", "hw", "nv12", "i420"]
"""Of one image. Batches have more axes before it."""


class ArrayImage(Protocol):
    """An image that NumPy can read: an array, or one of Pillow's."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


class ReadableImage(Protocol):
    """Likewise, one of another library."""

    def __array__(self) -> Any: ...


VideoItem = ArrayImage | ReadableImage | Tensor | av.VideoFrame | tuple[Any, ...]
Image = TypeVar("Image", bound=VideoItem)
"""An image, a batch of them or (Y, Cb, Cr): what comes in comes out."""
Item = TypeVar("Item", bound=VideoItem)
"""An image, or (image, tag): what comes in comes out."""
Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image as the planes of a frame, and the way back.

    The planes are a copy: the caller may write into the image at once.
    """

    planes: tuple[Plane, ...]
    colour: ColourTags
    restore: Callable[[Frame], Any]  # of the upscaled frame
    depth: int = 8
    pts: int | None = None  # of what has a time of its own
    time_base: Fraction | None = None
    even: bool = False  # its chroma has half the size: its result is to have even sides

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.planes[0].shape[:2]
        return int(width), int(height)

    def frame(self, number: int) -> Frame:
        """Returns the frame that is the ``number``-th of its clip, counted from 0."""
        pts, time_base = self.pts, self.time_base
        if pts is None or not time_base:
            pts, time_base = number, USUAL_STEP
        return Frame(
            self.planes, self.colour, pts, time_base, discontinuous=number == 0, depth=self.depth
        )

    def in_8_bits(self) -> "OpenedImage":
        """Returns it for an engine that takes no more bits."""
        if self.depth == 8:
            return self
        planes = self.frame(0).in_8_bits().planes
        return replace(self, planes=planes, depth=8, restore=self._deepened)

    def _deepened(self, frame: Frame) -> Any:
        """What a frame of 8 bits becomes in the bits of the image."""
        deep = self.frame(0)
        planes = tuple(
            deep.samples_of(number, frame.levels_of(number)) for number in range(len(frame.planes))
        )
        return self.restore(replace(frame, planes=planes, depth=self.depth))
