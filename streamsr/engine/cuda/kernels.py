"""The conversions of ``colour.py`` as CUDA kernels: each frame's planes in one or two launches.

Owns what each kernel is given; ``launch`` runs it. CuPy compiles the source for the device at
hand with NVRTC and launches it on torch's stream: torch and CuPy never wait for each other.
"""

import logging
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamsr.core.frame import ColourTags
from streamsr.engine.colour import Converter, Planes, TorchConverter
from streamsr.engine.cuda.kernel_source import KERNELS, kernel_source
from streamsr.engine.resample import chroma_is_left, chroma_shift
from streamsr.networks.facts import Colour

__all__ = ["BLOCK", "KernelConverter", "Launch", "converter_on", "grid_of"]

logger = logging.getLogger("streamsr")

Launch = Callable[[str, tuple[int, int, int], Sequence[np.generic]], None]
"""Runs a kernel of ``KERNELS`` with as many threads as it writes (columns, rows, planes)."""

BLOCK = (32, 8, 1)
"""Threads of a block: a warp lies along a row, so that its accesses are neighbours."""


class KernelConverter:
    """4:2:0 planes by kernels, packed R'G'B' by torch: cameras and files are 4:2:0."""

    def __init__(self, colour: Colour, launch: Launch) -> None:
        self._colour = colour
        self._launch = launch
        self._packed = TorchConverter(colour)

    def read(self, planes: Planes, tags: ColourTags, out: Tensor) -> None:
        if len(planes) == 1:
            self._packed.read(planes, tags, out)
            return
        rows, columns = out.shape[1:]
        size, padded = planes[0].shape, (_address(out), *_ints(rows, columns))
        if self._colour is Colour.LUMA:
            args = (_address(planes[0]), *_ints(*size), *padded, *_ints(tags.full_range))
            self._launch("luma_in", (columns, rows, 1), args)
        else:
            shift = chroma_is_left(tags) * 0.25
            levels = _floats(shift, *tags.spans, *tags.kr_kb)
            args = (*map(_address, planes), *_ints(*size), *padded, *levels)
            self._launch("rgb_in", (columns, rows, 1), args)

    def write(
        self, output: Tensor, source: Planes, tags: ColourTags, out: Planes, bad: Tensor
    ) -> None:
        if len(source) == 1:
            self._packed.write(output, source, tags, out, bad)
            return
        bad.zero_()
        if self._colour is Colour.LUMA:
            self._luma_out(output, tags, out, bad)
            self._chroma_resized(source, tags, out)
        else:
            self._rgb_out(output, tags, out, bad)

    def _luma_out(self, output: Tensor, tags: ColourTags, out: Planes, bad: Tensor) -> None:
        height, width = out[0].shape
        pixels = (_address(output), *_ints(*output.stride()[1:]))
        plane = (_address(out[0]), *_ints(height, width, tags.full_range))
        self._launch("luma_out", (width, height, 1), (*pixels, *plane, _address(bad)))

    def _chroma_resized(self, source: Planes, tags: ColourTags, out: Planes) -> None:
        rows, columns = out[1].shape
        shift = chroma_shift(tags, Fraction(out[0].shape[1], source[0].shape[1]))
        before = (*map(_address, source[1:]), *_ints(*source[1].shape))
        after = (*map(_address, out[1:]), *_ints(rows, columns))
        sizes = _ints(*source[0].shape, *out[0].shape)
        self._launch(
            "chroma_resized", (columns, rows, 2), (*before, *after, *sizes, *_floats(shift))
        )

    def _rgb_out(self, output: Tensor, tags: ColourTags, out: Planes, bad: Tensor) -> None:
        height, width = out[0].shape
        rows, columns = out[1].shape
        black, luma_span, chroma_span = tags.spans
        plane, *steps = output.stride()
        pixels = (_address(output), np.int64(plane), *_ints(*steps))
        levels = _floats(black, luma_span, *tags.kr_kb)
        luma = (_address(out[0]), *_ints(height, width), *levels, _address(bad))
        self._launch("rgb_to_luma", (width, height, 1), (*pixels, *luma))
        levels = _floats(chroma_is_left(tags) * -0.5, chroma_span, *tags.kr_kb)
        chroma = (*_ints(height, width), *map(_address, out[1:]), *levels)
        self._launch("rgb_to_chroma", (columns, rows, 1), (*pixels, *chroma))


def grid_of(size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns how many blocks have a thread for each of (columns, rows, planes)."""
    columns, rows, planes = (-(-side // block) for side, block in zip(size, BLOCK, strict=True))
    return columns, rows, planes


def converter_on(stream: torch.cuda.Stream, colour: Colour, pixels: torch.dtype) -> Converter:
    """Returns the quickest converter on the stream's device: kernels, or torch's without CuPy.

    ``pixels`` is the dtype of what a network reads, float32 or float16.
    """
    try:
        launch = _cupy_launch(stream, half=pixels == torch.float16)
    except ImportError:
        logger.info("CuPy is not installed: colours are converted by torch")
    except Exception as error:  # NVRTC, CuPy and the driver each have their own: torch does it
        logger.warning("colours are converted by torch, since CuPy cannot: %s", error)
    else:
        return KernelConverter(colour, launch)
    return TorchConverter(colour)


def _cupy_launch(stream: torch.cuda.Stream, *, half: bool) -> Launch:
    """Compiles the kernels for the stream's device; returns what launches them on the stream."""
    import cupy  # type: ignore[import-not-found,import-untyped,unused-ignore]

    device, current = cupy.cuda.Device(stream.device.index), cupy.cuda.Stream.from_external(stream)
    with device:
        module = cupy.RawModule(code=kernel_source(half=half), backend="nvrtc")
        functions: dict[str, Any] = {name: module.get_function(name) for name in KERNELS}

    def launch(name: str, size: tuple[int, int, int], args: Sequence[np.generic]) -> None:
        with device, current:
            functions[name](grid_of(size), BLOCK, tuple(args))

    return launch


def _address(tensor: Tensor) -> np.generic:
    return np.uint64(tensor.data_ptr())


def _ints(*values: int) -> tuple[np.generic, ...]:
    return tuple(np.int32(value) for value in values)


def _floats(*values: float) -> tuple[np.generic, ...]:
    return tuple(np.float32(value) for value in values)
