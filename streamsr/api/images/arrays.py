"""Arrays of pixels, NumPy's and torch's and what NumPy can read, as frames, and back.

Knows layouts, dtypes, channels and devices; nothing of networks. Floats in [0, 1] are taken in
16 bits.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamsr.api.images.kinds import Array, Layout, OpenedImage
from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.detail import resized_samples

__all__ = [
    "NumpyImage",
    "axes_before",
    "is_readable",
    "kept_in_memory",
    "numpy_of",
    "opened_array",
]

SRGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)
GREY = ColourTags(matrix=ColourTags.BT601_625, primaries=1, transfer=13, full_range=True)
CHANNELS = (1, 3, 4)  # grey, R'G'B', R'G'B' and alpha
UNLIKELY = (2, 5, 6, 7, 8)  # widths that are a wrong number of channels rather
MODES = ("L", "RGB", "RGBA", "I;16")  # of Pillow's images
OVERSHOOT = 0.25  # that floats may have beyond [0, 1], as filters leave it: it is cut
HIGHEST = 65535
DTYPES = (
    *(torch.uint8, torch.uint16),
    *(torch.bfloat16, torch.float16, torch.float32, torch.float64),
)
ALLOWED = "uint8, uint16, float16, float32 and float64, floats in [0, 1]"
OF_TENSORS = f"bfloat16, {ALLOWED}"
SHAPES = "(h, w), (h, w, c) and (c, h, w) of 1, 3 or 4 channels"


@dataclass(frozen=True, slots=True)
class NumpyImage:
    """An image as NumPy's, and the way back to what it was."""

    array: Array
    restore: Callable[[Array], Any]
    is_tensor: bool = False  # whose channels usually come first


def is_readable(image: object) -> bool:
    """Returns whether NumPy may read an image's samples."""
    return hasattr(image, "__array__") or hasattr(image, "__array_interface__")


def numpy_of(image: object) -> NumpyImage:
    """Returns an image's samples, which may be its own memory. Raises InputError."""
    if isinstance(image, np.ndarray):
        return NumpyImage(image, lambda made: made)
    if isinstance(image, Tensor):
        return _tensor(image)
    pillow: Any = sys.modules.get("PIL.Image")  # whoever has one of its images has imported it
    if pillow is not None and isinstance(image, pillow.Image):
        mode = getattr(image, "mode", "")
        if mode not in MODES:
            raise InputError(
                f"image: got one of Pillow's of mode {mode!r}, allowed are {', '.join(MODES)}: "
                "image.convert('RGB') makes one"
            )
        return NumpyImage(np.asarray(image), pillow.fromarray)
    if is_readable(image):
        with _read(image):
            return NumpyImage(np.asarray(image), lambda made: made)
    raise InputError(
        f"image: got {_named(image)}, allowed are arrays of NumPy, tensors of torch, av.VideoFrame "
        "and (Y, Cb, Cr)"
    )


def axes_before(image: NumpyImage, layout: Layout | None) -> int:
    """Returns how many axes stand before those of one image: 0, 1 of a clip, 2 of clips.

    Raises InputError for an array that can be neither.
    """
    shape = image.array.shape
    if layout is not None:
        before = len(shape) - (3 if layout in ("hwc", "chw") else 2)
    elif len(shape) in (2, 3):
        before = 1 if len(shape) == 3 and not _channels_at(shape, 0) else 0
        if before and shape[2] in UNLIKELY:
            raise _wrong_shape(shape, layout)
    else:
        before = len(shape) - 3 if _channels_at(shape, len(shape) - 3) else -1
    if not 0 <= before <= 2:
        raise _wrong_shape(shape, layout)
    return before


def opened_array(source: NumpyImage, layout: Layout | None = None) -> OpenedImage:
    """Opens one image of (h, w), (h, w, c) or (c, h, w).

    Raises InputError for another shape, a dtype that holds no image, values that are not finite or
    far beyond [0, 1], and an image without pixels.
    """
    array = source.array
    first = _is_channels_first(source, layout)
    if layout in ("hwc", "chw") and array.shape[0 if first else -1] not in CHANNELS:
        raise _wrong_shape(array.shape, layout)
    pixels = np.moveaxis(array, 0, -1) if first else array
    if not pixels.size:
        raise InputError(f"image: got shape {array.shape}, allowed are images with pixels")
    samples, cast = _samples(pixels)
    depth = 8 if samples.dtype == np.uint8 else 16
    colour, alpha = _parted(samples)

    def restore(frame: Frame) -> Any:
        made = frame.planes[0]
        if alpha is not None:
            made = np.dstack([made, resized_samples(alpha, frame.width, frame.height)])
        if pixels.ndim == 3 and made.ndim == 2:
            made = made[..., None]
        laid = np.ascontiguousarray(np.moveaxis(made, -1, 0) if first else made)
        return source.restore(cast(laid))

    return OpenedImage(colour, SRGB if len(colour) == 1 else GREY, restore, depth)


def _tensor(image: Tensor) -> NumpyImage:
    kept = image.detach()
    if kept.layout is not torch.strided or kept.is_quantized or kept.is_meta or kept.is_nested:
        raise InputError(
            f"image: got a tensor of {kept.layout} {kept.dtype} on {kept.device}, "
            f"allowed are dense ones with samples, of {OF_TENSORS}"
        )
    if kept.dtype not in DTYPES:
        raise InputError(f"image: got dtype {kept.dtype}, allowed are {OF_TENSORS}")
    if kept.dtype is torch.bfloat16:
        kept = kept.float()

    def restore(made: Array) -> Tensor:
        return kept_in_memory(torch.from_numpy(made).to(image.device, image.dtype), image)

    with _read(image):
        return NumpyImage(kept.cpu().numpy(), restore, is_tensor=True)


@contextmanager
def _read(image: object) -> Iterator[None]:
    """Names an image whose samples cannot be read, such as a tensor of vmap, or one of CuPy's."""
    try:
        yield
    except Exception as error:  # of whatever library it is
        said = " ".join(str(error).split())
        raise InputError(
            f"image: got {_named(image)}, whose samples cannot be read: {said}; allowed are arrays "
            "of NumPy and tensors of torch"
        ) from error


def kept_in_memory(made: Tensor, image: Tensor) -> Tensor:
    """Returns what was made of an image, or of (n, c, h, w), channels last where that is so."""
    if made.dim() not in (3, 4) or made.dim() != image.dim() or image.is_contiguous():
        return made
    clip = image if image.dim() == 4 else image[None]
    if not clip.is_contiguous(memory_format=torch.channels_last):
        return made
    laid = made if made.dim() == 4 else made[None]
    laid = laid.contiguous(memory_format=torch.channels_last)
    return laid if made.dim() == 4 else laid[0]


def _channels_at(shape: tuple[int, ...], axis: int) -> bool:
    """Whether the three axes from ``axis`` on are those of an image with channels."""
    return axis >= 0 and (shape[axis] in CHANNELS or shape[axis + 2] in CHANNELS)


def _is_channels_first(source: NumpyImage, layout: Layout | None) -> bool:
    shape = source.array.shape
    if layout is not None:
        if len(shape) != (3 if layout in ("hwc", "chw") else 2):
            raise _wrong_shape(shape, layout)
        return layout == "chw"
    if len(shape) == 2:
        return False
    if len(shape) != 3 or not _channels_at(shape, 0):
        raise _wrong_shape(shape, layout)
    first, last = shape[0] in CHANNELS, shape[2] in CHANNELS
    return first and (source.is_tensor or not last)


def _wrong_shape(shape: tuple[int, ...], layout: Layout | None) -> InputError:
    if layout is not None:
        return InputError(f"image: got shape {shape}, allowed is one of layout {layout!r}")
    return InputError(
        f"image: got shape {shape}, allowed are {SHAPES}; of a clip (n, ...), of clips (m, n, ...)"
    )


def _samples(pixels: Array) -> tuple[Plane, Callable[[Array], Array]]:
    """A copy in uint8 or uint16, and what makes its dtype again."""
    kind = pixels.dtype
    if kind.kind == "u" and kind.itemsize <= 2:
        native = np.array(pixels, kind.newbyteorder("="), order="C", subok=False)
        return native, partial(np.asarray, dtype=kind)
    if kind.kind != "f" or kind.itemsize > 8:
        raise InputError(f"image: got dtype {kind}, allowed are {ALLOWED}")
    levels = pixels.astype(np.float32, order="C")
    least, most = float(levels.min()), float(levels.max())
    if not np.isfinite(least + most):
        raise InputError("image: got values that are not finite, allowed are 0 to 1")
    if least < -OVERSHOOT or most > 1 + OVERSHOOT:
        raise InputError(
            f"image: got {kind} values from {least:g} to {most:g}, allowed are 0 to 1 (and uint8)"
        )
    levels *= HIGHEST
    samples = np.rint(levels, out=levels).clip(0, HIGHEST).astype(np.uint16)
    return samples, partial(_floats, kind=kind)


def _floats(samples: Array, kind: np.dtype[Any]) -> Array:
    levels = samples.astype(np.float32)
    levels *= np.float32(1 / HIGHEST)
    return levels.astype(kind, copy=False)


def _parted(samples: Plane) -> tuple[tuple[Plane, ...], Plane | None]:
    """The planes of a frame, of grey with chroma that has no colour; and alpha, where there is."""
    if samples.ndim == 3 and samples.shape[2] != 1:
        alpha = samples[..., 3].copy() if samples.shape[2] == 4 else None
        return (np.ascontiguousarray(samples[..., :3]),), alpha
    height, width = samples.shape[:2]
    luma, half = samples.reshape(height, width), (-(-height // 2), -(-width // 2))
    chroma = np.full(half, 128 if luma.dtype == np.uint8 else 1 << 15, luma.dtype)
    return (luma, chroma, chroma), None


def _named(image: object) -> str:
    kind = type(image)
    shown = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{shown} {image!r}" if isinstance(image, int | float | bool | str) else shown
