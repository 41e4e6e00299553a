"""4:2:0 as planes of one's own: (Y, Cb, Cr), NV12 and I420, as frames, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamsr.api.images.arrays import NumpyImage, numpy_of
from streamsr.api.images.kinds import Array, Layout, OpenedImage
from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame, Plane

__all__ = [
    "are_planes",
    "axes_before_planes",
    "have_shapes_of_planes",
    "opened_packed_planes",
    "opened_planes",
]

ALLOWED = "(Y, Cb, Cr) of (h, w) and twice (h/2, w/2), or (Y, CbCr) of (h, w) and (h/2, w/2, 2)"


def are_planes(image: tuple[Any, ...]) -> bool:
    """Returns whether a tuple is (Y, Cb, Cr) or (Y, CbCr), and no image with its tag."""
    return axes_before_planes(image) == 0


def axes_before_planes(image: tuple[Any, ...]) -> int | None:
    """Returns how many axes stand before those of each of an image's planes, as of a clip's; None
    of what are no planes."""
    shapes = [tuple(getattr(part, "shape", ())) for part in image]
    before = len(shapes[0]) - 2 if shapes else -1
    if not 0 <= before <= 2 or any(shape[:before] != shapes[0][:before] for shape in shapes):
        return None
    luma, *others = (shape[before:] for shape in shapes)
    if len(others) == 1:
        return before if others[0] == (*_halved(luma), 2) else None
    is_one = len(others) == 2 and all(len(shape) == 2 for shape in others)
    return before if is_one else None


def have_shapes_of_planes(image: tuple[Any, ...]) -> bool:
    """Returns whether a tuple can be (Y, Cb, Cr) or (Y, CbCr), or a clip of either, rather than
    several images of grey."""
    before = axes_before_planes(image)
    if before is None:
        return False
    luma, *others = (tuple(part.shape)[before:] for part in image)
    return len(others) == 1 or others == [_halved(luma)] * 2


def opened_planes(image: tuple[Any, ...], colour: ColourTags) -> OpenedImage:
    """Opens (Y, Cb, Cr), or (Y, CbCr) as NV12 has it. Raises InputError."""
    parts = [numpy_of(part) for part in image]
    _check([part.array for part in parts])
    is_nv12 = len(parts) == 2
    first, *others = (np.array(part.array, order="C", subok=False) for part in parts)
    chroma = [np.ascontiguousarray(others[0][..., n]) for n in (0, 1)] if is_nv12 else others

    def restore(frame: Frame) -> Any:
        luma, *halves = (np.ascontiguousarray(plane) for plane in frame.planes)
        made = [luma, np.dstack(halves)] if is_nv12 else [luma, *halves]
        return tuple(part.restore(plane) for part, plane in zip(parts, made, strict=True))

    return _opened((first, *chroma), colour, restore)


def opened_packed_planes(source: NumpyImage, layout: Layout, colour: ColourTags) -> OpenedImage:
    """Opens one array of (h * 3/2, w), as OpenCV has "nv12" and "i420". Raises InputError."""
    array = source.array
    lines, width = array.shape if array.ndim == 2 else (0, 0)
    height = lines * 2 // 3
    if not lines or lines % 3 or height % 2 or width % 2:
        raise InputError(
            f"image: got shape {array.shape}, allowed of {layout!r} is (h * 3/2, w), h and w even"
        )
    _check([array])
    samples = np.array(array, order="C", subok=False)
    below = samples[height:]
    if layout == "nv12":
        pairs = below.reshape(height // 2, width // 2, 2)
        chroma = [np.ascontiguousarray(pairs[..., n]) for n in (0, 1)]
    else:
        chroma = list(below.reshape(2, height // 2, width // 2))

    def restore(frame: Frame) -> Any:
        luma, *halves = frame.planes
        packed = np.dstack(halves) if layout == "nv12" else np.stack(halves)
        return source.restore(np.vstack([luma, packed.reshape(-1, frame.width)]))

    return _opened((samples[:height], *chroma), colour, restore)


def _opened(planes: tuple[Plane, ...], colour: ColourTags, restore: Any) -> OpenedImage:
    tags = colour.resolved(planes[0].shape[0])
    return OpenedImage(planes, tags, restore, even=True)


def _check(parts: Sequence[Array]) -> None:
    for array in parts:
        if array.dtype != np.uint8:
            raise InputError(
                f"planes: got dtype {array.dtype}, allowed is uint8; av.VideoFrame has more bits"
            )
    shapes = [part.shape for part in parts]
    if len(parts) == 1:
        return
    half = _halved(shapes[0])
    if not parts[0].size or shapes[1:] not in ([half, half], [(*half, 2)]):
        raise InputError(f"planes: got shapes {shapes}, allowed are {ALLOWED}")


def _halved(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-side // 2) for side in shape)
