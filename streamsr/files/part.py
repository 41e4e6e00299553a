"""Part of a file upscaled: from a checkpoint on, in segments, each kept once it is whole.

A segment is a GOP of the result: its encoder begins with it, so that it comes out the same whether
the program has run from the file's beginning or went on there. What a network and the flicker
filter know of the frames before goes on from segment to segment, and is kept with each.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

from streamsr.core.events import Emit
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream, StreamRequest
from streamsr.engine.threads import one_thread_here
from streamsr.files.checkpoint import Checkpoint, End
from streamsr.files.passage import Marks
from streamsr.files.span import Read, Span
from streamsr.media.source import MediaSource, SourceInfo
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.keyframe_flicker import FlickerFilter, FlickerState
from streamsr.pipeline.model_choice import ModelChoice
from streamsr.pipeline.model_session import LoadedModel

__all__ = ["DETACHED", "BeginAgainError", "PartSink", "Stopped", "upscale_part"]

AHEAD = 2  # frames that are upscaled and wait for their encoder
DETACHED = 32  # frames that a recurrent network is warmed up by, where its memory is not kept
MOST_AGAIN = 128  # frames that are seen again, after any checkpoint


class Stopped(Exception):  # noqa: N818 - it was asked for
    """The part was stopped before its end: what is committed is there."""


class BeginAgainError(Exception):
    """The part cannot go on from its checkpoint, as another model runs now than before it."""


class PartSink(Protocol):
    """Where a part's frames go. Raises OutputError where it fails."""

    def open(self, frame: Frame, info: SourceInfo, model: LoadedModel) -> None:
        """Takes the first upscaled frame of this run; ``write`` follows with it."""

    def write(self, frame: Frame, info: SourceInfo) -> None:
        """Takes an upscaled frame."""

    def commit(self, checkpoint: Checkpoint, end: End | None = None) -> None:
        """States that the segment is whole."""


@dataclass(frozen=True, slots=True)
class _Upscaled:
    """A frame in flight; with the first of a segment, what to keep of those before it."""

    frame: Future[Frame]
    begins: Callable[[], Checkpoint] | None


@dataclass(frozen=True, slots=True)
class _Begun:
    """A frame that was pushed and is not in flight yet, as a window waits for others."""

    delivered: bool  # False: it is another part's
    begins: Callable[[], Checkpoint] | None = None


def upscale_part(
    source: MediaSource,
    models: ModelChoice,
    span: Span,
    begin: Checkpoint,
    sink: PartSink,
    *,
    workers: int,
    meter: Meter,
    emit: Emit,
    stop: threading.Event,
    damage: Callable[[], Sequence[str]] = tuple,
    passes: Callable[[int], None] = lambda frames: None,
) -> None:
    """Upscales the frames of ``source`` from ``begin`` on, each segment committed to ``sink``.

    Frames before it are sought: raises SoughtError, before the sink is opened, where they are not
    what they were. ``begin.from_the_start`` needs no seek, with another source and other models.

    ``workers`` frames are in flight at once. ``damage`` says at the end what of the source could
    not be read; ``passes`` is told, of frames that are done and are read again, how many there are
    by now. Raises Stopped once ``stop`` is set, and what the source, the models and the sink
    do.
    """
    ending = threading.Event()
    part = _Part(source, models, span, begin, workers, meter, emit, stop, ending, passes)
    with ThreadPoolExecutor(1, "streamsr-part", one_thread_here) as thread:
        upscaling = thread.submit(part.upscale)
        try:
            _deliver(part, sink, meter)
        finally:
            ending.set()
            part.in_flight.abort()
            models.close()
        until_s = upscaling.result()
    if stop.is_set():
        raise Stopped
    end = None if part.cut_short else part.read.end(until_s, part.last.frames, damage())
    sink.commit(part.last, end)


def _deliver(part: "_Part", sink: PartSink, meter: Meter) -> None:
    """Hands upscaled frames on in their order."""
    opened = False
    while True:
        try:
            upscaled = part.in_flight.receive()
        except Closed:
            return
        frame = upscaled.frame.result()
        assert part.read.info is not None  # a source describes itself before its first frame
        assert part.model is not None  # likewise
        if not opened:
            sink.open(frame, part.read.info, part.model)
            opened = True
        if upscaled.begins is not None:
            sink.commit(upscaled.begins())
        sink.write(frame, part.read.info)
        meter.left(frame.arrived, f"{frame.width}x{frame.height}")


class _Part:
    """The first half of it: frames read and begun, in a thread of their own."""

    def __init__(
        self,
        source: MediaSource,
        models: ModelChoice,
        span: Span,
        begin: Checkpoint,
        workers: int,
        meter: Meter,
        emit: Emit,
        stop: threading.Event,
        ending: threading.Event,
        passes: Callable[[int], None],
    ) -> None:
        self.in_flight: Channel[_Upscaled] = Channel(workers + AHEAD, Overflow.WAIT)
        self.model: LoadedModel | None = None
        self.last = begin  # once upscale() has returned: after its last frame
        self.cut_short = False  # there are frames after it, of another part
        self._source, self._models, self._span, self._begin = source, models, span, begin
        self._meter, self._emit, self._passes = meter, emit, passes
        self._stop, self._ending = stop, ending
        self._stream: EngineStream | None = None
        self._suited: object = None
        self._flicker = FlickerFilter()
        self._marks = Marks(source, MOST_AGAIN + 1)
        self._states: deque[FlickerState] = deque(maxlen=MOST_AGAIN)  # before the newest frames
        self._begun: deque[_Begun] = deque()
        self._segment: int | None = None  # of the newest frame
        self._segments = 0  # that have ended
        self.read = Read(source)

    def upscale(self) -> float | None:
        """Reads and upscales to the end of the part; returns up to when the rest is asked for."""
        try:
            until_s = self._read()
            if self._stream is not None and not self._stop.is_set():
                self._send(self._stream.flush())
            return until_s
        except Closed:
            return None
        finally:
            self.in_flight.close()

    def _read(self) -> float | None:
        done = self._begin.frames
        first, beyond = self._begin.first, 0
        for number, frame in self._numbered(first - 1):
            if self._span.is_past(frame, number):
                return frame.time_s
            if number < done:
                self._passes(number + 1)
            if number == first - 1:
                self._flicker = FlickerFilter(frame, self._begin.flicker)
                self._marks.note(frame)
            elif number >= first:
                begins = self._begins_segment(frame) and number > done
                self._segments += begins
                if self._segments == self._span.segments:
                    self.cut_short = True
                    if beyond == self._lookahead:  # what the last frames of the part look at
                        return None
                    beyond += 1
                    self._push(frame, _Begun(delivered=False))
                else:
                    self._take(frame, number, begins=begins)
        return None

    def _numbered(self, first: int) -> Iterator[tuple[int, Frame]]:
        """Yields frames with their numbers, from ``first`` on where that can be sought."""
        passage = self._begin.passage
        if not passage.is_sought:
            return enumerate(self._frames())
        passage.begin(self._source)
        return passage.numbered(self._source, self._frames(), first)

    def _frames(self) -> Iterator[Frame]:
        for item in self._source.items(self._ending):
            if self._stop.is_set():
                return
            self.read.note(item)
            if isinstance(item, SourceInfo):
                self._meter.input = item.size
            elif isinstance(item, Frame):
                yield item

    def _begins_segment(self, frame: Frame) -> bool:
        before, self._segment = self._segment, self._span.segment_of(frame)
        return before != self._segment

    def _take(self, frame: Frame, number: int, *, begins: bool) -> None:
        """Upscales a frame of the part, or one before it."""
        stream = self._streamed()
        if number == self._begin.first + self._begin.warm_up and self._begin.memory:
            self._send(stream.restore(self._begin.memory))
        kept = self._checkpoint(number, frame.time_s) if begins else None
        self.last = Checkpoint(number + 1, time_s=frame.time_s)
        self._states.append(self._flicker.state)
        self._meter.count("in")
        self._meter.begin()
        frame = frame if frame.arrived else replace(frame, arrived=monotonic())
        self._marks.note(frame)
        self._push(frame, _Begun(number >= self._begin.frames, kept))

    def _push(self, frame: Frame, begun: _Begun) -> None:
        self._begun.append(begun)
        self._send(self._streamed().push(self._flicker.steadied(frame)))

    def _send(self, upscaled: Sequence[Future[Frame]]) -> None:
        for frame in upscaled:
            begun = self._begun.popleft()
            if begun.delivered:
                self.in_flight.send(_Upscaled(frame, begun.begins))

    def _streamed(self) -> EngineStream:
        """The stream through the model that suits the source now."""
        assert self.read.info is not None  # a source describes itself before its first frame
        suited = self._models.suit(self.read.info)
        if self._stream is None or suited != self._suited:
            if self._stream is not None:
                self._send(self._stream.flush())
            self._suited = suited
            self.model, target = suited
            request = StreamRequest(self._source.name, self._meter, self._emit, target=target)
            self._stream = self.model.engine.stream(request)
        return self._stream

    @property
    def _lookahead(self) -> int:
        self._streamed()
        assert self.model is not None  # its stream runs
        return self.model.engine.model.facts.lookahead

    def _checkpoint(self, number: int, time_s: float) -> Callable[[], Checkpoint]:
        """Returns what gives the state before a frame, once those before it are done."""
        stream = self._streamed()
        assert self.model is not None  # its stream runs
        model = self.model.engine.model
        memory, again = stream.memory(), stream.since_memory
        warm_up = DETACHED if model.recurrent and not memory else model.facts.window
        states = list(self._states)[-(warm_up + again) :]
        passage = self._marks.before(len(states))

        def made() -> Checkpoint:
            cancelled = any(one.cancelled() for one in memory)
            left = () if cancelled else tuple(one.result() for one in memory)
            return Checkpoint(
                number, again, len(states) - again, states[0], left, time_s, passage=passage
            )

        return made
