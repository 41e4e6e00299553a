"""When two streams show the same moment: found by what changes in them, to a frame.

The lag is coarsely where what changes correlates best, over every lag there can be; then where the
frames themselves agree best, together with the crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.train.teach.matching import Matches, matched, moving_in
from streamsr.train.teach.registration import Registered, found, refined, seen
from streamsr.train.teach.thumbnails import Images, Thumbnails

__all__ = ["Timing", "aligned"]

HZ = 25  # of the grid on which changes are compared
CHANGE_S = 0.2  # a change is from so long ago
CELLS = 12, 8  # that are compared, of a frame whose crop is not known yet
CANDIDATES = 4  # lags that are tried, by cells; half as many by the whole frame's change
APART_S = 0.12  # two candidates
TRIED = 6  # frames that a candidate is tried with
COMPARED = 24  # frames that lags are compared with
CLIMB = 8, 4, 2, 1  # frames of the main stream
LEAST_S = 2.0  # that both must show
LEAST_SHARE = 0.4  # of the shorter one
NEARLY = 1.005  # times the error: as good

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timing:
    """How two streams lie to one another, by thumbnails."""

    registered: Registered
    matches: Matches


def aligned(main: Thumbnails, sub: Thumbnails, expected_s: float | None = None) -> Timing:
    """Finds the crop of thumbnails and every frame's match.

    ``expected_s`` is the lag by the clock, where there is one: it decides where nothing moves.
    Raises InputError as ``matched`` does.
    """
    expected = expected_s or 0.0
    if not moving_in(sub.images).any():  # else what coding changes would decide
        return _matched(main, sub, expected, _tried(main, sub, expected))
    coarse = [_tried(main, sub, lag_s) for lag_s in _candidates(main, sub, expected)]
    registered = max(coarse, key=lambda one: one.correlation)
    # of a camera that does not move any lag gives the crop, by which lags are told apart better
    shown = replace(main, images=_shown(main.images, registered)[0])
    tried = [
        (lag_s, _compared(main, sub, lag_s, registered))
        for lag_s in _candidates(shown, sub, expected)
    ]
    least = min(one.error for _, one in tried)
    near = [one for one in tried if one[1].error <= least * NEARLY]
    lag_s, registered = min(near, key=lambda one: abs(one[0] - expected))
    return _matched(main, sub, *_climbed(main, sub, lag_s, registered))


def _matched(main: Thumbnails, sub: Thumbnails, lag_s: float, registered: Registered) -> Timing:
    images, rows, columns = _shown(main.images, registered)
    matches = matched(replace(main, images=images), sub, rows, columns, lag_s)
    return Timing(registered, matches)


def _candidates(main: Thumbnails, sub: Thumbnails, expected_s: float) -> list[float]:
    """The lags at which what changes correlates best, and the expected one."""
    ours, theirs = _changes(main), _changes(sub)
    whole = [np.abs(changes).mean(1, keepdims=True) for changes in (ours, theirs)]
    chosen = [expected_s]
    for (a, b), count in (
        ((ours, theirs), CANDIDATES),
        ((whole[0] - whole[0].mean(), whole[1] - whole[1].mean()), CANDIDATES // 2),
    ):
        lags, scores = _correlated(a, b)
        added = 0
        for index in np.argsort(-scores):
            if added == count:
                break
            if all(abs(lags[index] - other) >= APART_S for other in chosen):
                chosen.append(float(lags[index]))
                added += 1
    return chosen


def _changes(stream: Thumbnails) -> Floats:
    """(n, cells): what each cell of the frame changed by, on a grid of even times."""
    grid = np.arange(0, stream.times[-1], 1 / HZ)
    cells = np.stack([_cells(image) for image in stream.images])
    even = np.stack([np.interp(grid, stream.times, cell) for cell in cells.T], 1)
    reach = round(CHANGE_S * HZ)
    changes = even[reach:] - even[:-reach] if len(even) > reach + 1 else even[:1] * 0
    spread = np.abs(changes).mean() + 1e-3
    return np.asarray((changes / spread).clip(-8, 8), np.float64)  # a flash must not decide


def _cells(image: Images) -> NDArray[np.float32]:
    small = cv2.resize(image.astype(np.float32), CELLS, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).ravel()


def _correlated(main: Floats, sub: Floats) -> tuple[Floats, Floats]:
    """Every lag in seconds at which both show enough, and the correlation there."""
    ours, theirs = len(main), len(sub)
    length = 1 << (ours + theirs).bit_length()
    product = np.zeros(length // 2 + 1, np.complex128)
    for a, b in zip(main.T, sub.T, strict=True):  # one cell after the other: bounds the memory
        product += np.fft.rfft(a, length) * np.fft.rfft(b, length).conj()
    sums = np.fft.irfft(product, length)
    least = min(max(LEAST_S * HZ, LEAST_SHARE * min(ours, theirs)), 0.8 * min(ours, theirs))
    shifts = np.arange(-theirs + 1, ours)
    low, high = shifts.clip(0), np.minimum(ours, shifts + theirs)
    energies = [np.concatenate(([0.0], np.cumsum((part**2).sum(1)))) for part in (main, sub)]
    shown = energies[0][high] - energies[0][low]
    wanted = energies[1][high - shifts] - energies[1][low - shifts]
    scores = sums[shifts] / np.sqrt(np.maximum(shown * wanted, 1e-9))
    kept = high - low >= least
    return shifts[kept] / HZ, scores[kept]


def _tried(main: Thumbnails, sub: Thumbnails, lag_s: float) -> Registered:
    pairs = [*_pairs(main, sub, lag_s, TRIED)]
    return refined(pairs, found(pairs[::3]))


def _compared(
    main: Thumbnails, sub: Thumbnails, lag_s: float, registered: Registered
) -> Registered:
    """How well a lag explains the frames, with a crop of its own near the one that is known."""
    pairs = [*_pairs(main, sub, lag_s, COMPARED)]
    return refined(pairs, registered.geometry, steps=8)


def _pairs(
    main: Thumbnails, sub: Thumbnails, lag_s: float, count: int
) -> Iterator[tuple[Images, Images]]:
    """Frames of both at the same moments, those of the sub-stream where most changes.

    Each is the one that changes most of its span of time.
    """
    first, last = np.searchsorted(sub.times, _overlap(main, sub, lag_s))
    for span in np.array_split(np.arange(first, max(last, first + 1)), count):
        if len(span):
            nearby = sub.images[span].astype(np.int16)
            before = sub.images[(span - 2).clip(0)].astype(np.int16)
            chosen = span[np.abs(nearby - before).mean((1, 2)).argmax()]
            yield main.images[main.at(sub.times[[chosen]] + lag_s)[0]], sub.images[chosen]


def _overlap(main: Thumbnails, sub: Thumbnails, lag_s: float) -> tuple[float, float]:
    """From when to when, in the sub-stream's time, both show something."""
    return max(0.0, -lag_s), min(float(sub.times[-1]), float(main.times[-1]) - lag_s)


def _climbed(
    main: Thumbnails, sub: Thumbnails, lag_s: float, registered: Registered
) -> tuple[float, Registered]:
    """The lag from which no other near one explains the frames better, with a crop of its own:
    of a camera that pans, lag and crop can be told apart only together."""

    best = registered
    for frames in CLIMB:
        better = True
        while better:
            better = False
            for step_s in (-frames * main.step_s, frames * main.step_s):
                begin, end = _overlap(main, sub, lag_s + step_s)
                if end - begin < LEAST_S / 2:
                    continue
                other = _compared(main, sub, lag_s + step_s, best)
                if other.error < best.error / NEARLY:
                    lag_s, best, better = lag_s + step_s, other, True
                    break
    return lag_s, best


def _shown(images: Images, registered: Registered) -> tuple[Images, slice, slice]:
    """What the sub-stream should show of each main frame, as thumbnails, and where it can be."""
    height, width = images.shape[1:]
    made, rows, columns = np.empty_like(images), slice(0), slice(0)
    for number, image in enumerate(images):
        warped, rows, columns = seen(image, registered.geometry, (width, height))
        made[number] = np.rint(registered.gain * warped + registered.bias).clip(0, 255)
    return made, rows, columns
