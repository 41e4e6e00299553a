"""When two streams show the same moment: found by what changes in them, to a frame.

The lag is coarsely where what changes correlates best, over every lag there can be; then where the
frames themselves agree best, together with the crop; then, frame by frame, what is nearest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.train.teach.registration import Registered, found, refined, seen
from streamsr.train.teach.thumbnails import Images, Thumbnails, Times

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
NEAR_S = 0.5  # around the lag: where each frame's match is looked for
LOCAL_S = 10.0  # over which the lag is taken as the same
MOVED = 0.03  # by how much the errors of other frames differ, of their mean, where something moves
CLOSE = 1.5  # frames that a moving frame's match may be off
STEADY = 0.6  # share of the moving frames of some seconds whose match is that close
NEARLY = 1.005  # times the error: as good
MOVES = 5.0  # levels: the deviation in time of a pixel that something moves through
MOST_STILL = 8  # such pixels, of a thumbnail in which nothing moves
MOVES_ALIKE = 0.5  # correlation

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timing:
    """The frames of two streams that show the same moments."""

    registered: Registered
    lag_s: float  # what the main stream shows at a time, the sub-stream shows so much earlier
    drift: float  # seconds a second that the lag grows
    moving: float  # share of the frames in which something moved: by which the time was told
    subs: NDArray[np.int64]  # frames of the sub-stream, rising
    mains: NDArray[np.int64]  # the main stream's frame of each


def aligned(main: Thumbnails, sub: Thumbnails, expected_s: float | None = None) -> Timing:
    """Finds the crop of thumbnails and every frame's match.

    ``expected_s`` is the lag by the clock, where there is one: it decides where nothing moves.
    Raises InputError where the two never show the same.
    """
    expected = expected_s or 0.0
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
    cells = np.stack(
        [
            cv2.resize(image, CELLS, interpolation=cv2.INTER_AREA).ravel()
            for image in stream.images.astype(np.float32)
        ]
    )
    even = np.stack([np.interp(grid, stream.times, cell) for cell in cells.T], 1)
    reach = round(CHANGE_S * HZ)
    changes = even[reach:] - even[:-reach] if len(even) > reach + 1 else even[:1] * 0
    spread = np.abs(changes).mean() + 1e-3
    return np.asarray((changes / spread).clip(-8, 8), np.float64)  # a flash must not decide


def _correlated(main: Floats, sub: Floats) -> tuple[Floats, Floats]:
    """Every lag in seconds at which both show enough, and the correlation there."""
    ours, theirs = len(main), len(sub)
    length = 1 << (ours + theirs).bit_length()
    product = np.fft.rfft(main, length, 0) * np.fft.rfft(sub, length, 0).conj()
    sums = np.fft.irfft(product.sum(1), length)
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
                if (low_high := _overlap(main, sub, lag_s + step_s)) and low_high[1] - low_high[
                    0
                ] < LEAST_S / 2:
                    continue
                other = _compared(main, sub, lag_s + step_s, best)
                if other.error < best.error / NEARLY:
                    lag_s, best, better = lag_s + step_s, other, True
                    break
    return lag_s, best


def _matched(main: Thumbnails, sub: Thumbnails, lag_s: float, registered: Registered) -> Timing:
    """Every frame's match by what it shows, near where it must be."""
    shown, rows, columns = _shown(main.images, registered)
    shown, wanted = (images[:, rows, columns] for images in (shown, sub.images))
    reach = max(2, round(NEAR_S / main.step_s))
    near = main.at(sub.times + lag_s)
    offsets = np.arange(-reach, reach + 1)
    errors = np.full((len(near), len(offsets)), np.inf)
    for place, offset in enumerate(offsets):
        there = near + offset
        inside = (there >= 0) & (there < len(main.times))
        for start in range(0, len(there), 512):  # bounds the memory
            part = np.flatnonzero(inside[start : start + 512]) + start
            difference = np.abs(
                shown[there[part]].astype(np.float32) - wanted[part].astype(np.float32)
            )
            errors[part, place] = difference.mean((1, 2))
    lags = main.times[(near[:, None] + offsets).clip(0, len(main.times) - 1)] - sub.times[:, None]
    local, drift, moving = _local_lags(errors, lags, sub.times, lag_s, main.step_s)
    subs, mains = _chosen(errors, lags, local, near, offsets, main.step_s)
    if len(subs) < 8:
        raise InputError(
            f"--main, --sub: {len(subs)} frames show the same moment, allowed are 8 and more"
        )
    _check_motion(shown[mains], wanted[subs])
    return Timing(registered, float(np.median(local)), drift, moving, subs, mains)


def _check_motion(main: Images, sub: Images) -> None:
    """Raises InputError where what moves in matched frames does not move alike."""
    ours, theirs = main.astype(np.float32), sub.astype(np.float32)
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    moves = (theirs**2).mean(0) > MOVES**2
    if moves.sum() < MOST_STILL:
        return
    ours, theirs = ours[:, moves], theirs[:, moves]
    norm = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    alike = float((ours * theirs).sum()) / max(norm, 1e-6)
    if alike < MOVES_ALIKE:
        raise InputError(
            f"--main, --sub: what moves correlates by {alike:.2f} at the best lag there is, "
            f"allowed is {MOVES_ALIKE} and more: they do not show the same scene at the same time"
        )


def _shown(images: Images, registered: Registered) -> tuple[Images, slice, slice]:
    """What the sub-stream should show of each main frame, as thumbnails, and where it can be."""
    height, width = images.shape[1:]
    made, rows, columns = [], slice(0), slice(0)
    for image in images:
        warped, rows, columns = seen(image, registered.geometry, (width, height))
        light = registered.gain * warped + registered.bias
        made.append(np.rint(light).clip(0, 255).astype(np.uint8))
    return np.stack(made), rows, columns


def _local_lags(
    errors: Floats, lags: Floats, times: Times, lag_s: float, step_s: float
) -> tuple[Times, float, float]:
    """The lag of every frame by its neighbours in time, how it drifts, and how many frames tell."""
    known = np.isfinite(errors)
    filled = np.where(known, errors, np.nan)
    enough = known.sum(1) >= 5
    best = np.where(known, errors, np.inf).argmin(1)
    with np.errstate(invalid="ignore"):
        spread = np.nanstd(np.where(enough[:, None], filled, 0.0), 1)
        mean = np.nanmean(np.where(enough[:, None], filled, 0.0), 1)
    moved = enough & (spread > MOVED * np.maximum(mean, 2.0))
    told = lags[np.arange(len(errors)), best]
    local, current = np.full(len(times), lag_s), lag_s
    for start in np.arange(0.0, times[-1] + 1e-9, LOCAL_S / 2):
        here = told[moved & (np.abs(times - start - LOCAL_S / 4) <= LOCAL_S / 2)]
        if len(here) >= 5:
            middle = float(np.median(here))
            if np.mean(np.abs(here - middle) <= CLOSE * step_s) >= STEADY:
                current = middle
        local[times >= start] = current
    tells = moved & (np.abs(told - local) <= CLOSE * step_s)
    drift = 0.0
    if tells.sum() >= 20 and np.ptp(times[tells]) > LOCAL_S:
        drift = float(np.polyfit(times[tells], told[tells], 1)[0])
    return local, drift, float(tells.mean())


def _chosen(
    errors: Floats,
    lags: Floats,
    local: Times,
    near: NDArray[np.int64],
    offsets: NDArray[np.int64],
    step_s: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The frames that have a match, and it: the nearest in time, or one beside it that is clearly
    more alike, as where stamps jitter. Frames that nothing is alike are left out."""
    off = np.abs(lags - local[:, None])
    usual = np.where(np.isfinite(errors), off, np.inf).argmin(1)
    rows = np.arange(len(errors))
    beside = np.where(off <= 3.5 * step_s, errors, np.inf)
    best = beside.argmin(1)
    chosen = np.where(beside[rows, best] < 0.8 * errors[rows, usual], best, usual)
    error = errors[rows, chosen]
    usable = np.isfinite(error) & (off[rows, chosen] <= 3.5 * step_s)
    if usable.any():
        middle = float(np.median(error[usable]))
        spread = float(np.median(np.abs(error[usable] - middle)))
        usable &= error <= middle + 6 * spread + 0.5
    subs = np.flatnonzero(usable)
    return subs, (near + offsets[chosen])[subs]
