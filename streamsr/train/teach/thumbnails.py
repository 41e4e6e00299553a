"""A stream as small grey images with their times: what two streams are compared by."""

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

__all__ = ["THUMBNAIL", "Thumbnails", "numbered_frames", "thumbnails_of"]

THUMBNAIL = 128, 72  # pixels, whatever the aspect ratio
REPORT_S = 0.2  # between two reports

Images = NDArray[np.uint8]
Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """The frames of one stream that are of its first frame's size."""

    name: str  # for people; holds no secret
    times: Times  # (n,) seconds since its first frame, rising
    images: Images  # (n, 72, 128) luma
    width: int  # pixels of a frame
    height: int

    @property
    def step_s(self) -> float:
        """How long a frame lasts, most often."""
        return float(np.median(np.diff(self.times)))

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    def at(self, times: Times) -> NDArray[np.int64]:
        """Returns which frame is nearest to each time."""
        after = np.searchsorted(self.times, times).clip(1, len(self.times) - 1)
        before = self.times[after] - times > times - self.times[after - 1]
        return np.asarray(after - before, np.int64)


def thumbnails_of(
    settings: InputSettings, most_s: float | None, report: Callable[[int], None]
) -> Thumbnails:
    """Reads a file, at most its first seconds. ``report`` is called with the frames read so far.

    Raises InputError where there are too few frames in it.
    """
    times: list[float] = []
    images: list[Any] = []
    size, said = (0, 0), 0.0
    for number, frame in numbered_frames(settings):
        if most_s is not None and times and frame.time_s - times[0] > most_s:
            break
        size = size if number else (frame.width, frame.height)
        times.append(frame.time_s)
        images.append(cv2.resize(frame.brightness, THUMBNAIL, interpolation=cv2.INTER_AREA))
        if monotonic() - said > REPORT_S:
            said = monotonic()
            report(len(times))
    name = _name(settings)
    if len(times) < 8:
        raise InputError(f"input {name}: got {len(times)} frames, allowed are 8 and more")
    stack = np.asarray(np.stack(images), np.uint8)
    return Thumbnails(name, np.array(times) - times[0], stack, *size)


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
