"""Capture: the source's thread fills a queue of frames, and the engine's thread takes from it
those that are still in time. Every frame that comes and every one that is dropped is counted."""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from time import monotonic

from streamsr.core.events import Code
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import LimitSettings
from streamsr.media.source import Item, MediaSource, Piece, SourceInfo
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.latency_budget import LatencyBudget

__all__ = ["Capture"]

BEHIND_S = 2.0  # that audio may lie behind its frames in a file
COUNTED = {"reconnects": "reconnects", "time_jumps": "jumps", "moved": "moved"}
"""What of a source is counted: by its name, and the source's."""
QUEUE_FILE, QUEUE_LIVE = 8, 25  # frames waiting for the engine


class Capture:
    """One source's frames. ``read()`` in one thread, ``next()`` in another.

    ``audio`` takes the audio as it comes; ``coming`` is called before each frame is queued, and
    ``tell`` with what becomes an event. ``paced``: a file is read at its own pace, for viewers.
    """

    def __init__(
        self,
        source: MediaSource,
        meter: Meter,
        limits: LimitSettings,
        *,
        audio: Callable[[Piece], None],
        coming: Callable[[], None],
        tell: Callable[[Code, str], None],
        paced: bool,
    ) -> None:
        live = source.live
        self.frames: Channel[Frame] = Channel(  # that wait for the engine
            QUEUE_LIVE if live else QUEUE_FILE, Overflow.DROP_OLDEST if live else Overflow.WAIT
        )
        self.info: SourceInfo | None = None  # of the source; None until it is open
        self.stop = threading.Event()  # set it to end read()
        self.ready = threading.Event()  # set it once frames can be upscaled, or never will be
        self.until_s: float | None = None  # seconds of a file that are asked for, once known
        self._opened = threading.Event()  # there is an info, or there will be none
        self._source = source
        self._meter = meter
        self._limits = limits
        self._audio = audio
        self._coming = coming
        self._tell = tell
        self._paced = paced and not live
        self._started = 0.0  # monotonic: second 0 of a paced file
        self._begin_s: Fraction | None = None  # what is second 0; None before any frame
        self._received = 0  # frames out of the queue, the late ones too
        self._dropped_before = 0  # frames dropped before the newest one that was taken

    @property
    def decided(self) -> int:
        """Frames that came and no longer wait."""
        return self._received + self.frames.dropped

    @property
    def dropped(self) -> int:
        """Frames that came and were not taken, because the device is too slow."""
        return self._meter["late"] + self.frames.dropped

    def read(self) -> None:
        """Queues everything the source gives, until its end, a limit or ``stop``."""
        counted = dict.fromkeys(COUNTED, 0)
        items = self._items()
        try:
            for item in items:
                if isinstance(item, SourceInfo):
                    self.info = item
                    self._meter.input = item.size
                    self._opened.set()
                elif self._source.live and not self.ready.is_set():
                    pass  # what it gives before models are chosen is not begun with
                elif not isinstance(item, Frame):
                    self._hear(item)
                elif self._reached_limit(item):
                    self._read_audio(items, item.time_s)
                    return
                else:
                    self._accept(self._frame(item))
                for name, of in COUNTED.items():
                    more = getattr(self._source, of) - counted[name]
                    if more:
                        self._meter.count(name, more)
                        counted[name] += more
            if not self.stop.is_set():
                self.until_s = math.inf
        except Closed:
            return  # a later stage has failed and says so itself
        finally:
            self.close()

    def close(self) -> None:
        """States that nothing more will come: what is queued can still be taken."""
        self.stop.set()
        self.frames.close()
        self._opened.set()

    def opened(self) -> SourceInfo | None:
        """Waits until the source describes itself; returns None where it never did."""
        self._opened.wait()
        return self.info

    def next(self, budget: LatencyBudget) -> Frame | None:
        """Returns the next frame that is in time; None at the end.

        A late one is dropped while there is a newer one. What follows a gap says so, since no
        window of neighbours may reach across it.
        """
        try:
            while True:
                frame = self.frames.receive()
                self._received += 1
                in_time = not self._source.live or budget.is_in_time(monotonic() - frame.arrived)
                if in_time or not len(self.frames):
                    break
                self._meter.count("late")
                self._tell(Code.OVERLOAD, "the device is slower than the source: frames dropped")
        except Closed:
            return None
        if self.dropped != self._dropped_before:
            self._dropped_before = self.dropped
            return replace(frame, after_gap=True)
        return frame

    def _items(self) -> Iterator[Item]:
        items = self._source.items(self.stop)
        while True:
            with self._meter.stage("decode"):
                item = next(items, None)
            if item is None:
                return
            yield item

    def _read_audio(self, items: Iterator[Item], until_s: float) -> None:
        """Reads what belongs to the frames before ``until_s`` and comes after them in the file."""
        if self._source.live or self.info is None or not self.info.audio_codec:
            return
        self.until_s = until_s
        for item in items:
            if isinstance(item, Frame):
                if self.stop.is_set() or item.time_s > until_s + BEHIND_S:
                    return
            elif not isinstance(item, SourceInfo):
                if item.time_s < until_s:
                    self._audio(item)
                elif item.heard:
                    return

    def _frame(self, frame: Frame) -> Frame:
        """Counts a frame's time from second 0: of a live source the first frame that is begun
        with, since a file that is made of it starts so."""
        if self._begin_s is None:
            self._begin_s = frame.pts * frame.time_base if self._source.live else Fraction(0)
        return replace(frame, pts=frame.pts - round(self._begin_s / frame.time_base))

    def _hear(self, piece: Piece) -> None:
        if self._begin_s is not None:
            self._audio(replace(piece, time_s=piece.time_s - float(self._begin_s)))
        elif not self._source.live:
            self._audio(piece)  # else nothing has begun that it belongs to

    def _reached_limit(self, frame: Frame) -> bool:
        frames, seconds = self._limits.frames, self._limits.seconds
        if frames is not None and self._meter["in"] >= frames:
            return True
        return seconds is not None and not self._source.live and frame.time_s >= seconds

    def _accept(self, frame: Frame) -> None:
        self.ready.wait()  # of a file: it would hurry afterwards, and count the time as latency
        if not self._meter["in"] and self.stop.is_set():
            return
        if self._paced:
            self._started = self._started or monotonic() - frame.time_s
            self.stop.wait(self._started + frame.time_s - monotonic())
        self._coming()
        self._meter.count("in")
        if not frame.arrived:
            frame = replace(frame, arrived=monotonic())
        try:
            self.frames.send(frame)
        except Closed:
            self._meter.count("lost")
            raise
