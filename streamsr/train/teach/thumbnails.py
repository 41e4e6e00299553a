"""A stream as small grey images with their times: what two streams are compared by."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.core.settings import InputSettings
from streamsr.sources.opening import open_source

__all__ = [
    "THUMBNAIL",
    "Images",
    "Numbers",
    "Thumbnails",
    "numbered_frames",
    "thumbnails_of",
    "told_apart",
]

MOST = 24_000  # frames of a stream that are kept: 16 minutes at 25 a second, 220 MB
BLOCK_S = 20.0  # of a longer one every other such time is left out, or more
THUMBNAIL = 128, 72  # pixels, whatever the aspect ratio
REPORT_S = 0.2  # between two reports

Images = NDArray[np.uint8]
Times = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """The frames of one stream that are of its first frame's size; of a long one, those of some
    times."""

    name: str  # for people; holds no secret
    times: Times  # (n,) seconds since its first frame, rising
    numbers: Numbers  # (n,) which of its frames each is, rising
    images: Images  # (n, 72, 128) luma
    width: int  # pixels of a frame
    height: int
    every: int = 1  # one of so many times is kept

    @property
    def step_s(self) -> float:
        """How long a frame lasts, most often."""
        return float(np.median(np.diff(self.times)))

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    def at(self, times: Times) -> Numbers:
        """Returns which frame is nearest to each time."""
        after = np.searchsorted(self.times, times).clip(1, len(self.times) - 1)
        before = self.times[after] - times > times - self.times[after - 1]
        return np.asarray(after - before, np.int64)

    def left_out(self, times: Times) -> NDArray[np.bool_]:
        """Returns at which times its frame was not kept, or there is none."""
        after = np.searchsorted(self.times, times).clip(1, len(self.times) - 1)
        between = np.diff(self.numbers)[after - 1] > 1
        between |= (times < self.times[0]) | (times > self.times[-1])
        near = np.abs(times - self.times[self.at(times)])
        return np.asarray(between & (near > self.step_s / 2))


class _Kept:
    """The frames kept so far, in bounded memory."""

    def __init__(self, every: int, offset_s: float) -> None:
        self.every = every
        self._offset_s = offset_s
        self._count = 0
        width, height = THUMBNAIL
        self._images = np.empty((256, height, width), np.uint8)
        self._times = np.empty(MOST, np.float64)
        self._numbers = np.empty(MOST, np.int64)

    def add(self, number: int, time_s: float, frame: Frame) -> None:
        if not self._wanted(time_s):
            return
        if self._count == MOST:
            self._thin_out()
            self.add(number, time_s, frame)
            return
        if self._count == len(self._images):
            more = min(MOST, 2 * self._count)
            self._images.resize((more, *self._images.shape[1:]), refcheck=False)
        image = cv2.resize(frame.brightness, THUMBNAIL, interpolation=cv2.INTER_AREA)
        self._images[self._count] = image
        self._times[self._count], self._numbers[self._count] = time_s, number
        self._count += 1

    def arrays(self) -> tuple[Times, Numbers, Images]:
        count = self._count
        return self._times[:count].copy(), self._numbers[:count].copy(), self._images[:count]

    def _wanted(self, times: Any) -> Any:
        return np.floor((times - self._offset_s) / BLOCK_S) % self.every == 0

    def _thin_out(self) -> None:
        while self._count == MOST:
            self.every *= 2
            kept = np.flatnonzero(self._wanted(self._times[: self._count]))
            for place, index in enumerate(kept):  # in place
                self._images[place] = self._images[index]
            for values in (self._times, self._numbers):
                values[: len(kept)] = values[kept]
            self._count = len(kept)


def thumbnails_of(
    settings: InputSettings,
    most_s: float | None,
    report: Callable[[int], None],
    *,
    every: int = 1,
    offset_s: float = 0.0,
) -> Thumbnails:
    """Reads a file, at most its first seconds. ``report`` is called with the frames read so far.

    Of a long one the frames of one time of ``every`` are kept, or of fewer; ``offset_s`` after its
    first frame's time begins the other stream's first time. Raises InputError where there are too
    few frames in it.
    """
    kept = _Kept(every, offset_s)
    size, said, first_s, count = (0, 0), 0.0, 0.0, 0
    for number, frame in numbered_frames(settings):
        if not number:
            size, first_s = (frame.width, frame.height), frame.time_s
        if most_s is not None and frame.time_s - first_s > most_s:
            break
        count = number + 1
        kept.add(number, frame.time_s - first_s, frame)
        if monotonic() - said > REPORT_S:
            said = monotonic()
            report(count)
    name = _name(settings)
    if count < 8:
        raise InputError(f"input {name}: got {count} frames, allowed are 8 and more")
    times, numbers, images = kept.arrays()
    return Thumbnails(name, times, numbers, images, *size, kept.every)


def told_apart(*streams: Thumbnails) -> str:
    """Returns what streams are told from others by: all that they show, however they are called,
    and for how long, on which depends what training does not see."""
    digest = hashlib.sha256()
    for stream in streams:
        digest.update(repr((stream.size, stream.times.tolist())).encode())
        digest.update(stream.images.data)
    return digest.hexdigest()


def numbered_frames(settings: InputSettings) -> Iterator[tuple[int, Frame]]:
    """Yields the frames of a file that are of its first one's size, in 4:2:0, counted from 0."""
    source = open_source(settings, lambda event: None)  # a file that was cut off ends there
    number, size, last = 0, None, -1.0
    for item in source.items(Event()):
        if not isinstance(item, Frame) or item.time_s <= last:
            continue
        size = size or (item.width, item.height)
        if (item.width, item.height) == size:
            last = item.time_s
            yield number, item
            number += 1


def _name(settings: InputSettings) -> str:
    return open_source(settings, lambda event: None).name
