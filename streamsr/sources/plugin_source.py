"""A source of somebody else's code, as one of streamsr's: what it yields is checked and timed."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic

import av
import numpy as np

from streamsr.core.errors import InputError, SourceError, StreamsrError
from streamsr.core.events import Code, Emit
from streamsr.core.frame import Frame
from streamsr.core.redact import redact
from streamsr.core.settings import InputSettings
from streamsr.core.settings.rates import exact_rate
from streamsr.media.depth import DepthConverter
from streamsr.media.pixels import SRGB, from_av
from streamsr.media.source import Item, SourceInfo
from streamsr.plugins.contracts import Source
from streamsr.plugins.registry import Kind, Plugin, find, told, unknown
from streamsr.sources.reopened import ReopenedSource
from streamsr.sources.timing.clock_sync import TICKS, ClockSync

__all__ = ["PluginSource", "plugin_source"]

logger = logging.getLogger("streamsr")

LONGEST_S = 1e9  # of a stream: what is beyond is no time
NOT_TAKEN = (  # settings of what streamsr reads itself
    "transport",
    "rate",
    "audio_from",
    "video",
    "audio",
    "live",
    "follow",
    "follow_s",
    "max_gap_s",
    "deinterlace",
)


def plugin_source(settings: InputSettings, emit: Emit, scheme: str) -> "PluginSource":
    """Returns the source that a plugin makes of an address of its ``scheme``.

    Raises InputError where there is no such plugin, it fails or is none, and for settings that a
    source of one's own cannot follow.
    """
    plugin = find(Kind.SOURCE, scheme)
    if plugin is None:
        raise InputError(f"input {redact(settings.url)}: {unknown(Kind.SOURCE, scheme, [])}")
    for key in NOT_TAKEN:
        value, usual = getattr(settings, key), InputSettings.model_fields[key].default
        if value != usual:
            raise InputError(
                f"input.{key}: got {value!r}, allowed is {usual!r}: the frames come from {plugin}, "
                "whose address says what there is to say"
            )
    return PluginSource(settings, emit, plugin)


class PluginSource(ReopenedSource):
    """Frames that a plugin yields; one that is live is made again whenever it ends."""

    def __init__(self, settings: InputSettings, emit: Emit, plugin: Plugin) -> None:
        """Makes the plugin's source. Raises InputError."""
        super().__init__(redact(settings.url), emit, settings.give_up_s)
        self._url, self._plugin = settings.url, plugin
        self._factory = plugin.load()
        self.live = False  # until it is known: a first failure is the user's to correct
        self._next: Source | None = self._made()
        self.live = bool(self._next.live)
        self._clock = ClockSync()

    def items(self, stop: threading.Event) -> Iterator[Item]:
        return super().items(stop) if self.live else self._connection(stop)

    def _connection(self, stop: threading.Event) -> Iterator[Item]:
        """One run of the plugin's source. Raises InputError, and SourceError of a live one."""
        clock = self._clock if self.live else None
        if clock is not None:
            clock.reconnected()
        frames: Iterator[object] | None = None
        try:
            source, self._next = self._next or self._made(), None
            placing = _Placing(self._rate(source), clock, self._plugin)
            frames = iter(source.frames(stop))
            for item in frames:
                if stop.is_set():
                    return
                for made in placing.items(item):
                    if isinstance(made, SourceInfo) and self.live:
                        self._tell(Code.SRC_UP, f"{made.size} from {self.name}")
                    yield made
        except StreamsrError:
            raise
        except (Exception, SystemExit) as error:  # it is others' code: whatever it raises
            raise self._fault(error) from error
        finally:
            if frames is not None and hasattr(frames, "close"):
                frames.close()

    def _made(self) -> Source:
        try:
            made: Source = self._factory(self._url)
            for name in ("rate", "live", "frames"):
                if not hasattr(made, name):
                    raise self._plugin.fault(
                        f"got {type(made).__name__} without {name!r}, allowed is a streamsr.Source"
                    )
            self._rate(made)
        except StreamsrError:
            raise
        except (Exception, SystemExit) as error:  # as above
            raise self._fault(error) from error
        return made

    def _rate(self, source: Source) -> Fraction:
        rate = source.rate
        try:
            return exact_rate(f"{float(rate)}")
        except (TypeError, ValueError):
            got = f"rate: got {rate!r}, allowed is a number from 0.01 to 240"
            raise self._plugin.fault(got) from None

    def _fault(self, error: BaseException) -> StreamsrError:
        logger.debug("%s", self._plugin, exc_info=error)
        text = f"{self._plugin}: {told(error)}"
        return SourceError(text) if self.live else InputError(f"input {self.name}: {text}")


@dataclass(slots=True)
class _Placing:
    """Makes frames in their time of what one run of a source yields."""

    rate: Fraction
    clock: ClockSync | None  # of a live one
    plugin: Plugin
    number: int = 0  # of frames so far
    last_s: float = -1.0
    shape: tuple[object, ...] = ()  # of the newest frame
    depth: DepthConverter | None = None

    def items(self, item: object) -> Iterator[Item]:
        """Yields a frame, and before it what it is where that has changed. Raises InputError."""
        arrived = monotonic()
        time_s: float | None = None
        image = item
        if isinstance(item, tuple):
            if len(item) != 2 or not isinstance(item[1], int | float | np.floating | np.integer):
                raise self._fault(f"a tuple of {len(item)}", "an image and its time in seconds")
            image, time_s = item[0], float(item[1])
        elif isinstance(item, av.VideoFrame):
            time_s = item.time
        if isinstance(image, av.VideoFrame):
            self.depth = self.depth or DepthConverter(8, waits=self.clock is None)
            frame = from_av(self.depth.converted(image), pts=0, time_base=TICKS, arrived=arrived)
            pixel_format = image.format.name
        else:
            frame = Frame((self._checked(image),), SRGB, 0, TICKS, arrived)
            pixel_format = "rgb24"
        pts, broken = self._placed(time_s, arrived)
        shape = frame.width, frame.height, frame.is_rgb
        if shape != self.shape:
            self.shape = shape
            yield SourceInfo(
                *(frame.width, frame.height, self.rate, Fraction(1)), "rawvideo", pixel_format
            )
        self.number += 1
        yield Frame(frame.planes, frame.colour, pts, TICKS, arrived, broken)

    def _placed(self, time_s: float | None, arrived: float) -> tuple[int, bool]:
        """A frame's ticks, and whether it has nothing to do with the one before."""
        if time_s is not None and not abs(time_s) < LONGEST_S:
            raise self._fault(f"the time {time_s}", "one in seconds")
        if self.clock is not None:
            return self.clock.frame(time_s, arrived)
        now_s = float(self.number / self.rate) if time_s is None else time_s
        if self.number and now_s <= self.last_s:
            raise self._fault(f"the time {now_s:g} s", f"one after {self.last_s:g} s")
        self.last_s = now_s
        return round(now_s / TICKS), self.number == 0

    def _checked(self, image: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """A copy of an image: its source may write the next one over it. Raises InputError."""
        if not isinstance(image, np.ndarray):
            allowed = "an array, a pair of one and its time, or an av.VideoFrame"
            raise self._fault(type(image).__name__, allowed)
        grey = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
        if image.dtype != np.uint8 or not image.size or not (grey or image.shape[2:] == (3,)):
            got = f"an array of {image.dtype} and shape {image.shape}"
            raise self._fault(got, "(height, width, 3) of uint8, or (height, width) of grey")
        if grey:
            image = image.reshape(*image.shape[:2], 1).repeat(3, axis=2)
        return np.array(image, order="C", copy=True)

    def _fault(self, got: str, allowed: str) -> Exception:
        return self.plugin.fault(f"frame {self.number}: got {got}, allowed is {allowed}")
