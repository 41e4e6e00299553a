"""The way into a stream: the source's thread fills a queue, and the engine's takes from it what is
still worth its time. Everything that comes and everything that is left out is counted."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic

from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.media.source import AudioFrame, Item, Source, SourceInfo
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.latency_budget import LatencyBudget

__all__ = ["Capture", "Limits"]

QUEUE_FILE, QUEUE_LIVE = 8, 25  # frames waiting for the engine


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop by itself. A live source's seconds count from its first picture, and until
    there is one, from the start."""

    frames: int | None = None
    seconds: float | None = None


class Capture:
    """One source's frames. ``read()`` in one thread, ``next()`` in another.

    ``audio`` takes the audio as it comes; ``coming`` is told of each frame before it is queued.
    ``paced``: a file at its own pace, as viewers want it.
    """

    def __init__(
        self,
        source: Source,
        meter: Meter,
        limits: Limits,
        *,
        audio: Callable[[AudioFrame], None],
        coming: Callable[[], None],
        paced: bool,
    ) -> None:
        self.info: SourceInfo | None = None  # of the source; None until it is open
        self.stop = threading.Event()  # set it to end read()
        self._source = source
        self._meter = meter
        self._limits = limits
        self._audio = audio
        self._coming = coming
        self._paced = paced and not source.live
        live = source.live
        self._frames: Channel[Frame] = Channel(
            QUEUE_LIVE if live else QUEUE_FILE, Overflow.DROP_OLDEST if live else Overflow.WAIT
        )
        self._started = 0.0  # monotonic: second 0 of a paced file
        self._received = 0  # frames out of the queue, the late ones too
        self._gaps = 0  # frames left out before the newest one that was taken

    def __len__(self) -> int:
        """How many frames wait."""
        return len(self._frames)

    @property
    def overflowed(self) -> int:
        """Frames for which there was no room."""
        return self._frames.dropped

    @property
    def decided(self) -> int:
        """Frames that came and no longer wait."""
        return self._received + self.overflowed

    @property
    def left_out(self) -> int:
        """Frames that came and were not taken, because the device is too slow."""
        return self._meter["late"] + self.overflowed

    def read(self) -> None:
        """Everything the source gives, until its end, a limit or ``stop``."""
        reconnects = 0
        try:
            for item in self._items():
                if isinstance(item, SourceInfo):
                    self.info = item
                    self._meter.input = item.size
                elif isinstance(item, AudioFrame):
                    self._audio(item)
                elif self._reached_limit(item):
                    return
                else:
                    self._accept(item)
                if self._source.reconnects != reconnects:
                    self._meter.count("reconnects", self._source.reconnects - reconnects)
                    reconnects = self._source.reconnects
        except Closed:
            return  # a later stage has failed and says so itself
        finally:
            self._frames.close()

    def next(self, budget: LatencyBudget, late: Callable[[], None]) -> Frame | None:
        """The next frame that is worth its time; None at the end.

        A late one is left out while there is a newer one. What follows a gap says so, since no
        window of neighbours may reach across it.
        """
        try:
            while True:
                frame = self._frames.receive()
                self._received += 1
                in_time = not self._source.live or budget.admits(monotonic() - frame.arrived)
                if in_time or not len(self._frames):
                    break
                self._meter.count("late")
                late()
        except Closed:
            return None
        if self.left_out != self._gaps:
            self._gaps = self.left_out
            return replace(frame, after_gap=True)
        return frame

    def close(self) -> None:
        """Take no more; what waits can still be taken."""
        self._frames.close()

    def abort(self) -> None:
        """Take no more, and drop what waits."""
        self._frames.abort()

    def _items(self) -> Iterator[Item]:
        items = self._source.items(self.stop)
        while True:
            with self._meter.stage("decode"):
                item = next(items, None)
            if item is None:
                return
            yield item

    def _reached_limit(self, frame: Frame) -> bool:
        frames, seconds = self._limits.frames, self._limits.seconds
        if frames is not None and self._meter["in"] >= frames:
            return True
        return seconds is not None and not self._source.live and frame.time_s >= seconds

    def _accept(self, frame: Frame) -> None:
        if self._paced:
            self._started = self._started or monotonic() - frame.time_s
            self.stop.wait(self._started + frame.time_s - monotonic())
        self._coming()
        self._meter.count("in")
        if not frame.arrived:
            frame = replace(frame, arrived=monotonic())
        try:
            self._frames.send(frame)
        except Closed:
            self._meter.count("lost")
            raise
