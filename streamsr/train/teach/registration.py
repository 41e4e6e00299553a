"""Which part of the main stream's frame the sub-stream shows: found by content, below a pixel.

Coarsely by matching templates of every plausible crop, then by Gauss-Newton on several frames at
once (Lucas and Kanade, An Iterative Image Registration Technique, 1981; Baker and Matthews,
Lucas-Kanade 20 Years On, 2004) with Huber's weights, which leave out what moves or differs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "WHOLE",
    "Geometry",
    "Pairs",
    "Registered",
    "correlation",
    "found",
    "levelled",
    "refined",
    "seen",
]

Luma = NDArray[np.uint8]
Floats = NDArray[np.float32]
Pairs = Sequence[tuple[Luma, Luma]]
"""Frames of the main stream and of the sub-stream at the same moments, each kind of one size."""

SHARES = (*np.arange(0.4, 1.001, 0.05), 1.1, 1.2, 1.33)  # of the main frame's sides
STRETCHED = 1.5  # how much wider one side's share may be than the other's
MARGIN = 0.34  # around the main frame, that a sub-stream may show beyond it
HIGH_PASS = 6.0  # pixels of a thumbnail: sigma of what is taken off
SMOOTH = 1.0  # pixels of the sub-stream: noise and blocks of its codec
STEPS = 25
SETTLED = 1e-5  # of the frame's sides


@dataclass(frozen=True, slots=True)
class Geometry:
    """The part of the main frame that the sub-stream shows, in shares of the main frame's sides."""

    left: float
    top: float
    width: float
    height: float


WHOLE = Geometry(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Registered:
    """Where the sub-stream lies, and how its luma follows from the main stream's."""

    geometry: Geometry
    gain: float
    bias: float  # levels
    error: float  # levels: root mean square over what both show
    correlation: float  # of the detail


def found(pairs: Pairs) -> Geometry:
    """Returns the crop that explains thumbnails best, to a few per cent of the sides."""
    prepared = [(_padded(main), sub) for main, sub in pairs]
    best, at = -1.0, WHOLE
    for across, down in product(SHARES, SHARES):
        if not 1 / STRETCHED < across / down < STRETCHED:
            continue
        score, geometry = _placed(prepared, across, down)
        if score > best + (0.005 if at == WHOLE else 0):
            best, at = score, geometry
    return at


def _placed(
    prepared: Sequence[tuple[Floats, Luma]], across: float, down: float
) -> tuple[float, Geometry]:
    """The best place of a crop of that size, and the correlation there, over all frames."""
    height, width = prepared[0][1].shape
    size = max(8, round(across * width)), max(8, round(down * height))
    total = sum(
        cv2.matchTemplate(
            main, _detail(cv2.resize(sub, size, interpolation=cv2.INTER_AREA)), cv2.TM_CCOEFF_NORMED
        )
        for main, sub in prepared
    )
    _, score, _, (x, y) = cv2.minMaxLoc(np.asarray(total) / len(prepared))
    left, top = x / width - MARGIN, y / height - MARGIN
    return float(score), Geometry(left, top, size[0] / width, size[1] / height)


def _padded(main: Luma) -> Floats:
    height, width = main.shape
    down, across = round(MARGIN * height), round(MARGIN * width)
    detail = _detail(main)
    return np.asarray(
        cv2.copyMakeBorder(detail, down, down, across, across, cv2.BORDER_CONSTANT, value=0),
        np.float32,
    )


def _detail(image: NDArray[Any]) -> Floats:
    floats = image.astype(np.float32)
    return np.asarray(floats - cv2.GaussianBlur(floats, (0, 0), HIGH_PASS), np.float32)


def refined(
    pairs: Pairs, begin: Geometry, width: int | None = None, steps: int = STEPS
) -> Registered:
    """Returns the crop to a fraction of a pixel, from one that is near it.

    The frames are compared at the size of the sub-stream, at most ``width`` wide.
    """
    subs, mains = levelled(pairs, begin, width)
    at = np.array([begin.left, begin.width, begin.top, begin.height, 1.0, 0.0])
    at[4:] = _light(mains, subs, begin)
    for _ in range(steps):
        normal, gradient = np.zeros((6, 6)), np.zeros(6)
        for main, sub in zip(mains, subs, strict=True):
            rows, error = _linearised(main, sub, at)
            weights = _weights(error)
            normal += (rows * weights) @ rows.T
            gradient += (rows * weights) @ error
        damped = normal + 1e-6 * np.diag(np.diag(normal) + 1e-9)
        change = np.linalg.solve(damped, -gradient)
        change[:4] = change[:4].clip(-0.05, 0.05)
        at += change
        at[[1, 3]] = at[[1, 3]].clip(0.2, 2.0)
        at[4] = max(at[4], 0.05)
        if np.abs(change[:4]).max() < SETTLED:
            break
    geometry = Geometry(at[0], at[2], at[1], at[3])
    return Registered(geometry, at[4], at[5], *_scores(mains, subs, at))


def seen(
    main: Luma | Floats, geometry: Geometry, size: tuple[int, int]
) -> tuple[Floats, slice, slice]:
    """Returns what the sub-stream shows of ``main`` at ``size``, width and height, with the rows
    and columns that the main frame covers. Linear between pixels: for what is smooth at that size.
    """
    (height, width), (columns, rows) = main.shape, size
    step_x, step_y = geometry.width * width / columns, geometry.height * height / rows
    matrix = np.array(
        [
            [step_x, 0, step_x / 2 + geometry.left * width - 0.5],
            [0, step_y, step_y / 2 + geometry.top * height - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        np.asarray(main, np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return (
        np.asarray(warped, np.float32),
        _covered(geometry.top, geometry.height, rows),
        _covered(geometry.left, geometry.width, columns),
    )


def _covered(first: float, share: float, count: int) -> slice:
    """The pixels of an axis that lie in the main frame, but for those at its edge."""
    low = int(np.ceil(max(0.0, -first / share) * count - 1e-6)) + 1
    high = int(np.floor(min(1.0, (1 - first) / share) * count + 1e-6)) - 1
    return slice(low, max(low, high))


def levelled(pairs: Pairs, begin: Geometry, width: int | None) -> tuple[list[Floats], list[Floats]]:
    """Returns the sub-stream's frames and the main stream's, smoothed, at about as many pixels a
    detail."""
    height, columns = pairs[0][1].shape
    factor = min(1.0, (width or columns) / columns)
    size = round(columns * factor), round(height * factor)
    main_height, main_width = pairs[0][0].shape
    wanted = (
        min(main_width, max(16, round(size[0] / begin.width))),
        min(main_height, max(16, round(size[1] / begin.height))),
    )

    def smooth(image: Luma, to: tuple[int, int]) -> Floats:
        small = cv2.resize(image.astype(np.float32), to, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.GaussianBlur(small, (0, 0), SMOOTH), np.float32)

    return [smooth(sub, size) for _, sub in pairs], [smooth(main, wanted) for main, _ in pairs]


def _light(
    mains: Sequence[Floats], subs: Sequence[Floats], geometry: Geometry
) -> tuple[float, float]:
    """Gain and bias, by mean and deviation."""
    pixels = [
        parts for pair in zip(mains, subs, strict=True) for parts in _compared(*pair, geometry)
    ]
    warped, sub = (
        np.concatenate([p.ravel() for p in pixels[::2]]),
        np.concatenate([p.ravel() for p in pixels[1::2]]),
    )
    gain = float(np.clip(sub.std() / max(float(warped.std()), 1e-3), 0.3, 3.0))
    return gain, float(sub.mean() - gain * warped.mean())


def _compared(main: Floats, sub: Floats, geometry: Geometry) -> Iterator[Floats]:
    """What both show: of the main stream, of the sub-stream."""
    warped, rows, columns = seen(main, geometry, (sub.shape[1], sub.shape[0]))
    yield warped[rows, columns]
    yield sub[rows, columns]


def _linearised(
    main: Floats, sub: Floats, at: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The derivatives by the six parameters, (6, pixels), and the error, (pixels,)."""
    geometry, gain, bias = Geometry(at[0], at[2], at[1], at[3]), at[4], at[5]
    height, width = sub.shape
    warped, rows, columns = seen(main, geometry, (width, height))
    down, across = (np.asarray(slope) for slope in np.gradient(warped))
    x = ((np.arange(width) + 0.5) / width)[columns][None]
    y = ((np.arange(height) + 0.5) / height)[rows][:, None]
    # of a share of the main frame, in the sub-stream's pixels
    across = gain * across[rows, columns] * (width / geometry.width)
    down = gain * down[rows, columns] * (height / geometry.height)
    inside = warped[rows, columns]
    error = gain * inside + bias - sub[rows, columns]
    parts = (across, across * x, down, down * y, inside, np.ones_like(inside))
    return np.stack([part.ravel() for part in parts]).astype(np.float64), error.ravel().astype(
        np.float64
    )


def _weights(error: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.abs(error)
    bound = 1.345 * (1.4826 * float(np.median(size)) + 0.3) if len(size) else 1.0
    return np.asarray(np.minimum(1.0, bound / np.maximum(size, 1e-9)))


def _scores(
    mains: Sequence[Floats], subs: Sequence[Floats], at: NDArray[np.float64]
) -> tuple[float, float]:
    """The root mean square error, and the correlation of the detail."""
    squares, detail = [], []
    for main, sub in zip(mains, subs, strict=True):
        inside, wanted = _compared(main, sub, Geometry(at[0], at[2], at[1], at[3]))
        if inside.size < 16:
            return 255.0, -1.0
        squares.append(float(np.mean((at[4] * inside + at[5] - wanted) ** 2)))
        detail.append(
            correlation(*(p - cv2.GaussianBlur(p, (0, 0), HIGH_PASS) for p in (inside, wanted)))
        )
    return float(np.sqrt(np.mean(squares))), float(np.mean(detail))


def correlation(a: Floats, b: Floats) -> float:
    """Returns the correlation of two images of a size; 0 where one is flat."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 1e-6 else 0.0
