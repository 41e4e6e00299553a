"""Every frame of the sub-stream and the main stream's of the same moment.

Streams drift, are lost and come back with another delay: the lag is looked for again every few
seconds, where something moves, and then frame by frame.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.train.teach.thumbnails import Images, Thumbnails, Times

__all__ = ["Matches", "OtherSceneError", "matched", "moving_in"]

LOCAL_S = 5.0  # over which the lag is taken as the same
AROUND_S = 5.0  # the lag: within which it may be elsewhere
LOOKED_AT = 40  # frames of such a time
SMALL = 32, 18  # pixels, that are compared there
CLEARLY = 0.97  # times the error: another lag is taken
ALONE = 0.8  # times the error of all lags that are not near: none of them does, too
NEAR_S = 0.3  # around that lag: where each frame's match is looked for
MOVED = 0.03  # by how much the errors of other frames differ, of their mean, where something moves
JUMP_S = 0.2  # of the lag: it is not drift
CLOSE = 1.5  # frames that a moving frame's match may be off
JITTER = 3.5  # frames that a stamp may be off
BETTER = 0.8  # times the error: a frame beside the nearest one is taken
MOVES = 5.0  # levels: the deviation in time of a pixel that something moves through
MOST_STILL = 8  # such pixels, of a thumbnail in which nothing moves
MOVES_ALIKE = 0.5  # correlation
CHECKED = 1000  # frames
LEAST = 8  # frames

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class OtherSceneError(InputError):
    """Two streams do not show the same scene at the same time."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The frames of two streams that show the same moments."""

    subs: Numbers  # frames of the sub-stream, rising
    mains: Numbers  # the main stream's frame of each
    lag_s: float  # what the main stream shows at a time, the sub-stream shows so much earlier
    drift: float  # seconds a second that the lag grows
    moving: float  # share of the frames in which something moved: by which the time was told


def matched(
    shown: Thumbnails, sub: Thumbnails, rows: slice, columns: slice, lag_s: float
) -> Matches:
    """Finds every frame's match.

    ``shown`` are the main stream's frames as the sub-stream shows them, in the rows and columns
    that both have. Raises InputError where there are few, or what moves does not move alike.
    """
    ours, theirs = (stream.images[:, rows, columns] for stream in (shown, sub))
    local = _local_lags(shown, sub, ours, theirs, lag_s)
    near = shown.at(sub.times + local)
    reach = max(2, round(NEAR_S / shown.step_s))
    offsets = np.arange(-reach, reach + 1)
    there = (near[:, None] + offsets).clip(0, len(shown.times) - 1)
    inside = there == near[:, None] + offsets
    errors = np.full(there.shape, np.inf)
    for place in range(len(offsets)):
        errors[:, place] = _differences(ours, theirs, there[:, place])
    errors[~inside] = np.inf
    lags = shown.times[there] - sub.times[:, None]
    told = lags[np.arange(len(near)), errors.argmin(1)]
    tells = _moved(errors) & (np.abs(told - local) <= CLOSE * shown.step_s)
    drift = _drift(told[tells], sub.times[tells])
    local = _centred(local, told, tells, sub.times)
    chosen, usable = _chosen(errors, np.abs(lags - local[:, None]), shown.step_s)
    subs = np.flatnonzero(usable & ~shown.left_out(sub.times + local))
    mains = (near + offsets[chosen])[subs]
    if len(subs) < LEAST:
        raise InputError(
            f"--main, --sub: {len(subs)} frames show the same moment, allowed are {LEAST} and more"
        )
    _check_motion(ours, theirs, mains, subs)
    return Matches(subs, mains, float(np.median(local)), drift, float(tells.mean()))


def _differences(ours: Images, theirs: Images, numbers: Numbers) -> Floats:
    """How much each frame differs from the main stream's of a number, in levels."""
    made = np.empty(len(theirs))
    for start in range(0, len(theirs), 256):  # bounds the memory
        part = slice(start, start + 256)
        difference = np.abs(ours[numbers[part]].astype(np.int16) - theirs[part])
        made[part] = difference.mean((1, 2))
    return made


def _local_lags(
    shown: Thumbnails, sub: Thumbnails, ours: Images, theirs: Images, lag_s: float
) -> Times:
    """The lag of every frame: where another one near explains some seconds clearly better.

    Where the main stream shows nothing at the usual lag, the other one has to be the only one: some
    lag always is the best.
    """
    small, wanted = (
        np.stack([cv2.resize(image, SMALL, interpolation=cv2.INTER_AREA) for image in images])
        for images in (ours, theirs)
    )
    steps = round(AROUND_S / shown.step_s)
    around = np.arange(-steps, steps + 1) * shown.step_s
    local = np.full(len(sub.times), lag_s)
    for start in np.arange(0.0, sub.times[-1] + 1e-9, LOCAL_S):
        here = np.flatnonzero((sub.times >= start) & (sub.times < start + LOCAL_S))
        some = here[:: max(1, len(here) // LOOKED_AT)]
        if not len(some):
            continue
        errors = np.full(len(around), np.inf)
        for place, more_s in enumerate(around):
            errors[place] = _error(shown, small, sub, wanted, some, lag_s + more_s)
        best = int(errors.argmin())
        others = errors[np.abs(around - around[best]) > NEAR_S]
        usual, alone = float(errors[steps]), float(others.min(initial=np.inf))
        bound = (
            CLEARLY * usual if np.isfinite(usual) else ALONE * alone if np.isfinite(alone) else 0
        )
        if errors[best] < bound:
            local[here] = lag_s + around[best]
    return local


def _error(
    shown: Thumbnails, ours: Images, sub: Thumbnails, theirs: Images, some: Numbers, lag_s: float
) -> float:
    """How much some frames differ at a lag; infinite where most of them have no counterpart."""
    times = sub.times[some] + lag_s
    inside = (times > -shown.step_s) & (times < shown.times[-1] + shown.step_s)
    if inside.mean() < 0.8:
        return np.inf
    numbers = shown.at(times[inside])
    difference = ours[numbers].astype(np.int16) - theirs[some[inside]]
    return float(np.abs(difference).mean())


def _moved(errors: Floats) -> NDArray[np.bool_]:
    """In which frames something moved: other moments differ more than that of the match."""
    known = np.isfinite(errors)
    count = known.sum(1)
    filled = np.where(known, errors, 0.0)
    mean = filled.sum(1) / np.maximum(count, 1)
    spread = np.sqrt(
        np.where(known, (errors - mean[:, None]) ** 2, 0.0).sum(1) / np.maximum(count, 1)
    )
    return np.asarray((count >= 5) & (spread > MOVED * np.maximum(mean, 2.0)))


def _drift(lags: Times, times: Times) -> float:
    """How steadily the lag grows; 0 where it jumps, or too little is known."""
    if len(lags) < 20 or np.ptp(times) < 2 * LOCAL_S or np.abs(np.diff(lags)).max() > JUMP_S:
        return 0.0
    return float(np.polyfit(times, lags, 1)[0])


def _centred(local: Times, told: Times, tells: NDArray[np.bool_], times: Times) -> Times:
    """The lags, each some seconds' made the median of what its frames tell."""
    centred = local.copy()
    for start in np.arange(0.0, times[-1] + 1e-9, LOCAL_S):
        here = (times >= start) & (times < start + LOCAL_S)
        if (here & tells).sum() >= 5:
            centred[here] += np.median(told[here & tells] - local[here & tells])
    return centred


def _chosen(errors: Floats, off: Floats, step_s: float) -> tuple[Numbers, NDArray[np.bool_]]:
    """The place of each frame's match, and which can be used.

    It is the nearest in time, or one beside it that is clearly more alike, as where stamps jitter.
    Frames that nothing is alike are left out.
    """
    usual = np.where(np.isfinite(errors), off, np.inf).argmin(1)
    rows = np.arange(len(errors))
    beside = np.where(off <= JITTER * step_s, errors, np.inf)
    best = beside.argmin(1)
    with np.errstate(invalid="ignore"):
        chosen = np.where(beside[rows, best] < BETTER * errors[rows, usual], best, usual)
    error = errors[rows, chosen]
    usable = np.isfinite(error) & (off[rows, chosen] <= JITTER * step_s)
    if usable.any():
        middle = float(np.median(error[usable]))
        spread = float(np.median(np.abs(error[usable] - middle)))
        usable &= error <= middle + 6 * spread + 0.5
    return np.asarray(chosen, np.int64), usable


def moving_in(images: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns through which pixels of thumbnails something moves; none where too few are."""
    some = images[:: max(1, len(images) // CHECKED)].astype(np.float32)
    moves = np.asarray(some.std(0) > MOVES)
    return moves if moves.sum() >= MOST_STILL else np.zeros_like(moves)


def _check_motion(ours: Images, theirs: Images, mains: Numbers, subs: Numbers) -> None:
    """Raises InputError where what moves in matched frames does not move alike."""
    some = np.unique(np.linspace(0, len(subs) - 1, min(CHECKED, len(subs))).astype(np.int64))
    main, sub = (
        images[numbers[some]].astype(np.float32)
        for images, numbers in ((ours, mains), (theirs, subs))
    )
    moves = moving_in(sub)
    if not moves.any():
        return
    main -= main.mean(0)
    sub -= sub.mean(0)
    main, sub = main[:, moves], sub[:, moves]
    norm = float(np.sqrt((main**2).sum() * (sub**2).sum()))
    alike = float((main * sub).sum()) / max(norm, 1e-6)
    if alike < MOVES_ALIKE:
        raise OtherSceneError(
            f"--main, --sub: what moves correlates by {alike:.2f} at the best lag there is, "
            f"allowed is {MOVES_ALIKE} and more: they do not show the same scene at the same time"
        )
