"""Two files into pairs of frames of the same moment and place, or the reason why that cannot be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.train.teach.agreement import Agreement, agreement, overlaid
from streamsr.train.teach.matching import Matches, OtherSceneError
from streamsr.train.teach.orientation import turned
from streamsr.train.teach.recording import Recorded
from streamsr.train.teach.registration import WHOLE, Geometry, Registered, refined, seen
from streamsr.train.teach.thumbnails import Numbers, Thumbnails, numbered_frames, thumbnails_of
from streamsr.train.teach.timing import aligned
from streamsr.train.teach.truth import FULL, IDENTITY, LIMITED, Light

__all__ = ["Alignment", "align"]

Luma = NDArray[np.uint8]

SAMPLES = 10  # pairs that the crop is measured with, in full size
WITHIN = 1500  # of the first matched frames: what lies before them is decoded for them
LEAST_DETAIL = 0.1  # of the frame
LEAST_ALIKE = 0.75  # of what has detail
LEAST_CORRELATION = 0.65  # of all detail
LEAST_ZOOM = 1.25  # pixels of the main stream for one of the sub-stream
SHARPER = 1.4  # times the fine detail that enlarging the sub-stream seems to have
BAND = 0.25, 0.5  # cycles a pixel of the sub-stream: what is finest in it
DIFFERS = 1.5  # levels: light that is not the same


@dataclass(frozen=True, slots=True)
class Alignment:
    """How two streams lie to one another."""

    main: Thumbnails
    sub: Thumbnails
    matches: Matches
    geometry: Geometry
    agreement: Agreement
    light: Light
    overlaid: NDArray[np.bool_] | None  # where the sub-stream, (h, w), always shows something else
    zoom: tuple[float, float]  # pixels of the main stream for one of the sub-stream, either way

    @property
    def ratio(self) -> float:
        """How many times as fine the main stream is."""
        return sqrt(self.zoom[0] * self.zoom[1])


def align(
    recorded: Recorded,
    most_s: float | None = None,
    report: Callable[[str, int], None] = lambda doing, frames: None,
) -> Alignment:
    """Aligns two files, at most their first seconds. ``report``: what is read, and the frames of
    it so far; what it raises ends it.

    Raises InputError where they do not show the same scene, where there is too little to see in it,
    or where the main stream shows no more than the sub-stream.
    """
    lag_s = recorded.lag_s or 0.0
    main = thumbnails_of(recorded.main, most_s, partial(report, "reading main"))
    sub = thumbnails_of(
        recorded.sub, most_s, partial(report, "reading sub"), every=main.every, offset_s=-lag_s
    )
    if main.width * main.height <= sub.width * sub.height:
        raise InputError(
            f"--main: got {main.size} pixels, allowed are more than --sub has, {sub.size}: are "
            "they exchanged?"
        )
    for stream, role in ((main, "main"), (sub, "sub")):
        _check_detail(stream, role)
    try:
        timing = aligned(main, sub, recorded.lag_s)
        numbers = sub.numbers[timing.matches.subs], main.numbers[timing.matches.mains]
        pairs = _full_size(recorded, *numbers, report)
        registered = refined(pairs, timing.registered.geometry)
        agrees = agreement(pairs, registered.geometry)
        _check_agreement(agrees, registered)
    except OtherSceneError as error:
        how = turned(main, sub)
        raise InputError(f"{error}{f'; --sub seems to be {how}' if how else ''}") from None
    geometry = registered.geometry
    zoom = geometry.width * main.width / sub.width, geometry.height * main.height / sub.height
    if min(zoom) < LEAST_ZOOM:
        raise InputError(
            f"--main: shows {zoom[0]:.2f}x{zoom[1]:.2f} pixels for each of --sub, allowed are "
            f"{LEAST_ZOOM} and more: it is no finer"
        )
    _check_sharpness(pairs, geometry)
    light = _light(pairs, geometry)
    return Alignment(
        main, sub, timing.matches, geometry, agrees, light, overlaid(pairs, geometry, light), zoom
    )


def _check_detail(stream: Thumbnails, role: str) -> None:
    """Raises InputError where next to nothing can be seen."""
    some = stream.images[:: max(1, len(stream.images) // SAMPLES)]
    detail = agreement([(image, image) for image in some], WHOLE).detailed
    if detail < LEAST_DETAIL:
        light = float(stream.images.mean())
        raise InputError(
            f"--{role}: {detail:.0%} of the frame has detail, allowed is {LEAST_DETAIL:.0%} and "
            f"more (its mean level is {light:.0f} of 255): is the camera in the dark, or covered?"
        )


def _check_agreement(agrees: Agreement, registered: Registered) -> None:
    if agrees.detailed < LEAST_DETAIL:
        raise InputError(
            f"--main, --sub: {agrees.detailed:.0%} of what both show has detail, allowed is "
            f"{LEAST_DETAIL:.0%} and more"
        )
    if agrees.alike < LEAST_ALIKE or registered.correlation < LEAST_CORRELATION:
        raise OtherSceneError(
            f"--main, --sub: {agrees.alike:.0%} of what has detail is alike in both, allowed is "
            f"{LEAST_ALIKE:.0%} and more (and it correlates by {registered.correlation:.2f}, "
            f"allowed is {LEAST_CORRELATION} and more): they do not show the same scene"
        )


def _check_sharpness(pairs: Sequence[tuple[Luma, Luma]], geometry: Geometry) -> None:
    """Raises InputError where the main stream has no detail that the sub-stream lacks."""
    ours, plain = [], []
    for main, sub in pairs:
        size = (
            round(main.shape[1] * min(1.0, geometry.width)),
            round(main.shape[0] * min(1.0, geometry.height)),
        )
        shown, rows, columns = seen(main, geometry, size)
        enlarged = cv2.resize(sub.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        zooms = size[1] / sub.shape[0], size[0] / sub.shape[1]
        ours.append(_fine_share(shown[rows, columns], zooms))
        plain.append(_fine_share(np.asarray(enlarged, np.float32)[rows, columns], zooms))
    detail, enlarging = float(np.median(ours)), float(np.median(plain))
    if detail < SHARPER * enlarging:
        raise InputError(
            f"--main: of its detail {detail:.1%} is finer than --sub can show, allowed is "
            f"{SHARPER * enlarging:.1%} and more: it is not sharper than --sub enlarged"
        )


def _fine_share(image: NDArray[np.float32], zooms: tuple[float, float]) -> float:
    """How much there is beyond the sub-stream's highest frequency, of what is just below it."""
    height, width = image.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.rfft2((image - image.mean()) * window)) ** 2
    down, across = np.abs(np.fft.fftfreq(height)) * zooms[0], np.fft.rfftfreq(width) * zooms[1]
    frequency = np.maximum(down[:, None], across)  # cycles a pixel of the sub-stream
    fine = power[(frequency > BAND[1]) & (frequency < 2 * BAND[1])].sum()
    coarse = power[(frequency > BAND[0]) & (frequency < BAND[1])].sum()
    return float(np.sqrt(fine / max(coarse, 1e-9)))


def _light(pairs: Sequence[tuple[Luma, Luma]], geometry: Geometry) -> Light:
    """How luma follows from the main stream's, by what is coarse in both; the identity where that
    is as good."""
    x: list[NDArray[np.float32]] = []
    y: list[NDArray[np.float32]] = []
    for main, sub in pairs:
        shown, rows, columns = seen(main, geometry, sub.shape[::-1])
        for image, kept in ((shown, x), (sub.astype(np.float32), y)):
            part = np.ascontiguousarray(image[rows, columns])
            small = cv2.resize(part, (24, 14), interpolation=cv2.INTER_AREA)
            kept.append(np.asarray(small, np.float32).ravel())
    levels, wanted = np.concatenate(x), np.concatenate(y)
    bound = np.quantile(np.abs(wanted - levels - np.median(wanted - levels)), 0.9)
    usual = np.abs(wanted - levels - np.median(wanted - levels)) <= bound
    if np.ptp(levels) < 20 or abs(float(np.median(wanted - levels))) + float(bound) < DIFFERS:
        return IDENTITY
    for light in (IDENTITY, FULL, LIMITED):
        if np.median(np.abs(light.gain * levels + light.bias - wanted)) < DIFFERS:
            return light
    gain, bias = np.polyfit(levels[usual], wanted[usual], 1)
    return Light(float(gain), float(bias))


def _full_size(
    recorded: Recorded, subs: Numbers, mains: Numbers, report: Callable[[str, int], None]
) -> list[tuple[Luma, Luma]]:
    """Luma of some pairs of frames with these numbers, those that lie apart in time."""
    count = min(len(subs), WITHIN)
    some = np.unique(np.linspace(0, count - 1, min(SAMPLES, count)).round().astype(np.int64))
    theirs = _frames(numbered_frames(recorded.sub), subs[some], partial(report, "comparing sub"))
    ours = _frames(numbered_frames(recorded.main), mains[some], partial(report, "comparing main"))
    return [(ours[int(mains[index])], theirs[int(subs[index])]) for index in some]


def _frames(
    frames: Iterator[tuple[int, Frame]], wanted: Numbers, report: Callable[[int], None]
) -> dict[int, Luma]:
    """Copies of the luma of some frames."""
    numbers = {int(number) for number in wanted}
    kept: dict[int, Luma] = {}
    for number, frame in frames:
        report(number)
        if number in numbers:
            kept[number] = frame.brightness.copy()
            if len(kept) == len(numbers):
                break
    return kept
