"""Optical flow without a network: pyramidal Lucas-Kanade, dense, on any device.

Each level of a pyramid refines what the coarser one found, by least squares over a window of
brightness differences (Lucas and Kanade, An Iterative Image Registration Technique, 1981; Bouguet,
Pyramidal Implementation of the Lucas Kanade Feature Tracker, 2001). What it finds is smoothed, and
dropped where standing still explains the frame as well: a fixed camera's noise is no motion.
What makes a whole window brighter or darker is mostly left out of the errors: lamps flicker, and
cameras change their exposure.
"""

from itertools import accumulate, repeat

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["optical_flow", "sampling_grid", "warped"]

LEVELS = 5
SMALLEST = 12  # pixels a side: of the coarsest level
ROUNDS = 2  # refinements a level
STEP = 1.0  # pixels of a level that one refinement may move at most
DAMPING = 5e-5  # of the least squares, in squared gradients of frames in [0, 1]
LIGHT = 0.8  # of what a window's brightness changes by as a whole is light, and no motion
GAIN_OF_MOVING = 0.9  # the squared error must fall below this share of standing still's
NOISE = 1e-6  # squared errors that are none


def optical_flow(frame: Tensor, other: Tensor) -> Tensor:
    """Returns where in ``other`` each pixel of ``frame`` lies: (b, 2, h, w) pixels across, down.

    Both are (b, 1, h, w) float32 in [0, 1]. No gradient flows through it. A frame compared with
    itself gives zeros.
    """
    with torch.no_grad(), torch.autocast(frame.device.type, enabled=False):
        flow: Tensor | None = None
        for level in reversed(list(zip(_pyramid(frame), _pyramid(other), strict=True))):
            flow = _refined(*level, flow)
        assert flow is not None  # there is a level
        return _upsampled(_steady(flow, _even(frame), _even(other)), frame)


def warped(x: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Samples ``x``, (b, c, h, w), where ``flow`` points, (b, 2, h, w) pixels; edges repeat."""
    return F.grid_sample(
        x, sampling_grid(flow), mode=mode, padding_mode="border", align_corners=False
    )


def sampling_grid(flow: Tensor, scale: int = 1) -> Tensor:
    """Returns the grid by which ``grid_sample`` follows ``flow``, (b, 2, h, w) pixels, in an image
    ``scale`` times as large: (b, scale² * h, w, 2).

    What it samples is laid out as a pixel unshuffle would: (b, c, scale² * h, w) are the scale²
    places within a pixel, each an image of (h, w), rows of places first.
    """
    batch, _, height, width = flow.shape
    offsets = torch.stack((flow[:, 0] * (2 / width), flow[:, 1] * (2 / height)), 1).detach()
    down, across = (_places(side, scale, flow.device) for side in (height, width))
    grid = _between(offsets, scale) if scale > 1 else offsets[:, :, None, None]
    grid[:, 0] += across[:, None]
    grid[:, 1] += down[:, None, :, None]
    return grid.view(batch, 2, -1, width).permute(0, 2, 3, 1)


def _places(side: int, scale: int, device: torch.device) -> Tensor:
    """(scale, side): where each place of each pixel lies on an axis from -1 to 1."""
    places = torch.arange(side * scale, device=device) * 2 + 1
    return (places / (side * scale) - 1).view(side, scale).t()


def _between(x: Tensor, scale: int) -> Tensor:
    """Bilinear interpolation of (b, c, h, w) at each place of each pixel: (b, c, s, s, h, w)."""
    batch, channels, height, width = x.shape
    places = x.new_empty(batch, channels, scale, scale, height, width)
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    taps = [divmod((place + 0.5) / scale + 0.5, 1) for place in range(scale)]
    for row, (above, down) in enumerate(taps):
        line = torch.lerp(*_neighbours(wide, 2, int(above)), down)
        for column, (left, across) in enumerate(taps):
            torch.lerp(*_neighbours(line, 3, int(left)), across, out=places[:, :, row, column])
    return places


def _neighbours(x: Tensor, axis: int, first: int) -> tuple[Tensor, Tensor]:
    """``x`` without its margins on an axis, from ``first`` on and from the pixel after it on."""
    length = x.shape[axis] - 2
    return x.narrow(axis, first, length), x.narrow(axis, first + 1, length)


def _pyramid(x: Tensor) -> list[Tensor]:
    """The frame and its halves down to the smallest, all of them with even sides."""
    steps = accumulate(
        repeat(None, LEVELS - 1), lambda level, _: _even(F.avg_pool2d(level, 2)), initial=_even(x)
    )
    return [level for n, level in enumerate(steps) if n == 0 or min(level.shape[2:]) >= SMALLEST]


def _refined(frame: Tensor, other: Tensor, coarse: Tensor | None) -> Tensor:
    """Flow at half the size of ``frame``, in its pixels; windows of about eight of them."""
    batch, _, height, width = frame.shape
    if coarse is None:
        flow = frame.new_zeros(batch, 2, height // 2, width // 2)
    else:
        size = [height // 2, width // 2]
        flow = 2 * F.interpolate(coarse, size, mode="bilinear", align_corners=False)
    across, down = _gradients(frame)
    mean_x, mean_y, xx, yy, xy = _windowed(
        across, down, across * across, down * down, across * down
    )
    light_x, light_y = LIGHT * mean_x, LIGHT * mean_y
    xx, yy = xx - light_x * mean_x + DAMPING, yy - light_y * mean_y + DAMPING
    xy = xy - light_x * mean_y
    scale = 1 / (xx * yy - xy * xy)
    for _ in range(ROUNDS):
        error = warped(other, _upsampled(flow, frame)).sub_(frame)
        mean, x, y = _windowed(error, across * error, down * error)
        x, y = x - light_x * mean, y - light_y * mean
        step = torch.cat((xy * y - yy * x, xy * x - xx * y), 1) * scale
        flow = _binomial(flow + step.clamp(-STEP, STEP), 1)
    return flow


def _steady(flow: Tensor, frame: Tensor, other: Tensor) -> Tensor:
    """The flow, zero where it explains no more than standing still."""
    differs, left = other - frame, warped(other, _upsampled(flow, frame)) - frame
    mean_still, still, mean_moving, moving = _windowed(differs, differs**2, left, left**2)
    still, moving = still - LIGHT * mean_still**2, moving - LIGHT * mean_moving**2
    return flow * _binomial((still * GAIN_OF_MOVING > moving + NOISE).to(flow.dtype), 1)


def _windowed(*parts: Tensor) -> tuple[Tensor, ...]:
    """The mean of each (b, 1, h, w) over a window around every pixel of half the size."""
    return _binomial(F.avg_pool2d(torch.cat(parts, 1), 2), 2).tensor_split(len(parts), 1)


def _upsampled(flow: Tensor, frame: Tensor) -> Tensor:
    """Flow at half the size of a frame, for each pixel of it."""
    height, width = frame.shape[2:]
    size = [height + height % 2, width + width % 2]
    full = F.interpolate(flow, size, mode="bilinear", align_corners=False)
    return full[:, :, :height, :width]


def _gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences, (b, 1, h, w) each: across and down."""
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    down = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    return across, down


def _binomial(x: Tensor, rounds: int) -> Tensor:
    """A binomial filter of 3x3, so many times."""
    for _ in range(rounds):
        wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
        rows = wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]
        x = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    return x


def _even(x: Tensor) -> Tensor:
    """The frame with an even height and width, its last row or column repeated."""
    down, across = (side % 2 for side in x.shape[2:])
    return F.pad(x, (0, across, 0, down), mode="replicate") if down or across else x
