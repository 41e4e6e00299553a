"""Bicubic and Lanczos resizing, exactly as the papers' ``imresize`` defines it.

Weights of an output pixel are normalised to sum to 1, borders are mirrored with the edge pixel
repeated, and shrinking widens the kernel by the factor (antialiasing). Bicubic is Keys' kernel
with a = -0.5 (Cubic convolution interpolation for digital image processing, 1981).
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "KERNELS",
    "Resample",
    "enlarged",
    "filter_phases",
    "folded_enlarged",
    "resize",
    "unshuffled",
]


def _cubic(x: Tensor) -> Tensor:
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x < 2))


def _lanczos3(x: Tensor) -> Tensor:
    return torch.sinc(x) * torch.sinc(x / 3) * (x.abs() < 3)


KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "bicubic": (_cubic, 2),
    "lanczos": (_lanczos3, 3),
}
"""Each kernel with its reach in input pixels when it is not widened."""

Scale = Fraction | int
Blocks = Sequence[tuple[slice, Tensor]]

# output pixels of a block: fewer would cost more calls, more would multiply by more zeros
ROWS, COLUMNS = 16, 32


@cache
@torch.inference_mode(False)  # what is kept must serve a gradient later, too
def filter_phases(
    kernel: str, scale: Fraction, shift: float, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, int, int]:
    """Returns one axis' filter: weights (phases, taps), input pixels a step, pixels to pad before.

    Cached on its device: copying it to a GPU would wait for the GPU at every frame, and a CUDA
    graph reads it where it lay when the graph was captured.

    Output pixel ``i`` has phase ``i % phases`` and starts at input pixel
    ``(i // phases) * step - before``: the filter repeats, so that resizing is a strided
    convolution with one output channel a phase.
    """
    phases, step = scale.numerator, scale.denominator
    centres = (torch.arange(phases, dtype=torch.float64) + 0.5) / float(scale) - 0.5 + shift
    weights, first = _weights(kernel, centres, scale)
    used = (weights.abs() > 1e-12).any(0).nonzero()
    low, high = int(used.min()), int(used.max())
    weights = weights[:, low : high + 1]
    weights = (weights / weights.sum(1, keepdim=True)).float().to(device, dtype)
    return weights, step, -(first + low)


def resize(
    x: Tensor, scale: Scale | tuple[Scale, Scale], kernel: str = "bicubic", *, shift_x: float = 0.0
) -> Tensor:
    """Resizes an image by ``scale``, or by one of its height and one of its width; antialiased
    where it shrinks.

    ``x`` is (..., h, w), float32 or float64 of any range; the result is (..., ceil(scale * h),
    ceil(scale * w)) and may leave the range by the filter's overshoot. Agrees with MATLAB's
    ``imresize``, the protocol of the super-resolution papers. ``shift_x`` moves every sampling
    point to the right by so many input pixels (chroma is not always sited between its luma).

    Each axis is a product of matrices, a block of output pixels at a time.
    """
    down, across = map(Fraction, scale if isinstance(scale, tuple) else (scale, scale))
    y = x.reshape(-1, *x.shape[-2:]).transpose(0, 1)  # images side by side: their rows are one's
    if down < 1:  # then there is less left for the columns
        y = _columns(_rows(y, kernel, down), kernel, across, shift_x)
    else:
        y = _rows(_columns(y, kernel, across, shift_x), kernel, down)
    return y.transpose(0, 1).reshape(*x.shape[:-2], y.shape[0], y.shape[2])


def _rows(x: Tensor, kernel: str, scale: Fraction) -> Tensor:
    """(h, n, w) to (ceil(scale * h), n, w)."""
    lines, blocks = x.flatten(1), _blocks_of(x, kernel, len(x), scale, 0.0, ROWS)
    made = torch.cat([weights @ lines[inputs] for inputs, weights in blocks])
    return made.view(-1, *x.shape[1:])


def _columns(x: Tensor, kernel: str, scale: Fraction, shift: float) -> Tensor:
    """(h, n, w) to (h, n, ceil(scale * w))."""
    lines, blocks = x.flatten(0, 1), _blocks_of(x, kernel, x.shape[2], scale, shift, COLUMNS)
    made = torch.cat([lines[:, inputs] @ weights.t() for inputs, weights in blocks], 1)
    return made.view(*x.shape[:2], -1)


def _blocks_of(
    x: Tensor, kernel: str, length: int, scale: Fraction, shift: float, step: int
) -> Blocks:
    if x.device.type == "cpu":
        return _recent_blocks(kernel, length, scale, shift, step, x.dtype, x.device)
    whole = math.ceil(scale * length)  # a GPU multiplies by zeros sooner than it takes more calls
    return _blocks(kernel, length, scale, shift, whole, x.dtype, x.device)


@cache  # without end: a CUDA graph reads it where it lay when the graph was captured
@torch.inference_mode(False)
def _blocks(
    kernel: str,
    length: int,
    scale: Fraction,
    shift: float,
    step: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Blocks:
    """The filter of an axis of ``length`` pixels by blocks of ``step`` output pixels: the input
    pixels that each reads, and the matrix (outputs, inputs), the mirrored borders folded in."""
    outputs = torch.arange(math.ceil(scale * length), dtype=torch.float64)
    centres = (outputs + 0.5) / float(scale) - 0.5 + shift
    blocks = []
    for part in centres.tensor_split(list(range(step, len(centres), step))):
        weights, first = _weights(kernel, part, scale)
        read = _mirrored(length, first, first + weights.shape[1], weights.device)
        low, high = int(read.min()), int(read.max())
        matrix = weights.new_zeros(len(part), high - low + 1).index_add_(1, read - low, weights)
        blocks.append((slice(low, high + 1), matrix.to(device, dtype)))
    return tuple(blocks)


_recent_blocks = lru_cache(maxsize=256)(_blocks.__wrapped__)  # a camera may change its size often


def _weights(kernel: str, centres: Tensor, scale: Fraction) -> tuple[Tensor, int]:
    """Weights of output pixels at ``centres``, (outputs, taps), and the first of the taps."""
    function, reach = KERNELS[kernel]
    widen = max(1.0, float(1 / scale))
    first = math.floor(float(centres[0]) - reach * widen)
    last = math.ceil(float(centres[-1]) + reach * widen)
    taps = torch.arange(first, last + 1, dtype=torch.float64)
    weights = function((taps - centres[:, None]) / widen)
    return weights / weights.sum(1, keepdim=True), first


def _mirrored(length: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Indices ``start`` to ``stop`` of an axis that goes on as its own mirror image, the edge
    pixel repeated."""
    index = torch.arange(start, stop, device=device) % (2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)


def enlarged(x: Tensor, scale: int, kernel: str = "bicubic", shift_x: float = 0.0) -> Tensor:
    """Enlarges (n, 1, h, w), every output pixel a channel of its input pixel.

    Returns (n, scale², h, w) in ``channels_last``, by one convolution at the input's size;
    ``unshuffled`` puts the pixels in their places.
    """
    weights, (above, left) = _phase_kernels(kernel, scale, shift_x, x.dtype, x.device)
    down, across = weights.shape[2:]
    rows = _mirrored(x.shape[2], -above, x.shape[2] + down - 1 - above, x.device)
    columns = _mirrored(x.shape[3], -left, x.shape[3] + across - 1 - left, x.device)
    return F.conv2d(x[:, :, rows][:, :, :, columns], weights)


def folded_enlarged(x: Tensor, scale: int, fold: int) -> Tensor:
    """Enlarges (n, 1, h, w) by bicubic; every output pixel of ``fold`` input pixels a side is a
    channel: (n, (scale * fold)², h / fold, w / fold).

    The sides must be multiples of ``fold``. ``unshuffled(..., scale * fold)`` puts the pixels in
    their places.
    """
    if scale == 1:
        return F.pixel_unshuffle(x, fold)
    if fold == 1:
        return enlarged(x, scale)
    return F.pixel_unshuffle(resize(x, scale), scale * fold)


def unshuffled(x: Tensor, scale: int) -> Tensor:
    """(n, scale², h, w) to (n, 1, scale*h, scale*w): torch's pixel shuffle of one channel.

    Takes a third of its time on a CPU.
    """
    n, _, height, width = x.shape
    pixels = x.view(n, scale, scale, height, width).permute(0, 3, 1, 4, 2)
    return pixels.reshape(n, 1, scale * height, scale * width)


@cache
@torch.inference_mode(False)
def _phase_kernels(
    kernel: str, scale: int, shift_x: float, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, tuple[int, int]]:
    """Both axes' filters in one, (scale², 1, taps, taps), and the pixels to pad before each.

    ``channels_last``, in which a CPU takes an eighth of the time.
    """
    rows, _, above = filter_phases(kernel, Fraction(scale), 0.0, dtype, device)
    columns, _, left = filter_phases(kernel, Fraction(scale), shift_x, dtype, device)
    both = torch.einsum("ia,jb->ijab", rows, columns)
    shape = (scale * scale, 1, *both.shape[2:])
    kernels = torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
    return kernels.copy_(both.reshape(shape)), (above, left)


class Resample(nn.Module):
    """Resizing as a network of one-frame windows: (b, 1, c, h, w) to (b, c, s*h, s*w)."""

    def __init__(self, kernel: str = "bicubic", scale: int = 4) -> None:
        super().__init__()
        if kernel not in KERNELS:
            raise ValueError(f"kernel: got {kernel!r}, allowed are {', '.join(KERNELS)}")
        self.kernel = kernel
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return resize(x[:, 0], self.scale, self.kernel)
