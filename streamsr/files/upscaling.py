"""How the frames of a half-done file are made: here, or by what else takes its place."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from time import monotonic
from typing import Protocol, cast

import torch

from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import StreamSettings
from streamsr.engine.engines import Engines
from streamsr.files.checkpoint import Checkpoint, End
from streamsr.files.part import PartSink, upscale_part
from streamsr.files.partial import Partial
from streamsr.files.passage import SoughtError
from streamsr.files.plan import FileJob
from streamsr.files.sinks import ImagesSink, VideoSink
from streamsr.files.span import Span
from streamsr.media.source import SourceInfo
from streamsr.pipeline.build import choose_by, coded_bits, tell_what_is_lost
from streamsr.pipeline.model_choice import ModelChoice
from streamsr.pipeline.model_session import LoadedModel
from streamsr.sources.opening import open_source
from streamsr.zoo.card import Precision

__all__ = [
    "FileUpscaling",
    "HalfDone",
    "Heard",
    "HereUpscaling",
    "WatchedSink",
    "one_thread_of",
    "segment_of",
]


EVERY_S = 10.0  # between two lines


@dataclass(frozen=True, slots=True)
class HalfDone:
    """A file, some frames of which are done."""

    job: FileJob
    settings: StreamSettings  # its encoder filled
    partial: Partial
    stop: threading.Event  # set once the run is to end
    says: Callable[[str], None]
    hear: "Heard"  # what is told of its source and its network
    is_at: Callable[[int, int | None], None]  # frames that are done, of how many

    def sink(self) -> PartSink:
        """Returns what takes its upscaled frames."""
        if self.job.is_images:
            return ImagesSink(self.partial, self.job, self.settings.output)
        return VideoSink(self.partial, self.settings.encoder)


class FileUpscaling(Protocol):
    """What upscales the frames of half-done files. Any thread may call it."""

    @property
    def device(self) -> str:
        """The kind of device: half done by one, a file is begun again by another."""

    def upscale(self, file: HalfDone) -> None:
        """Has every frame done, from where the file is. Raises StreamsrError, Stopped once it is
        to stop, and BeginAgainError."""


class Heard:
    """What is told of a file."""

    def __init__(self, tell: Emit) -> None:
        self._tell = tell
        self._told: dict[Code, str] = {}  # the newest of each

    def __call__(self, event: Event) -> None:
        self._told[event.code] = event.text
        self._tell(event)

    def newest(self, code: Code) -> str | None:
        """Returns what was told last of that kind; None: nothing."""
        return self._told.get(code)

    def damage(self) -> Sequence[str]:
        """Returns what of the source could not be read."""
        return [self._told[Code.SRC_DAMAGED]] if Code.SRC_DAMAGED in self._told else []


class HereUpscaling:
    """This process upscales, by its own engines."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.meter = Meter()  # of the file that was begun last
        self.models: ModelChoice | None = None  # likewise

    @property
    def device(self) -> str:
        return self._engines.device.type

    def upscale(self, file: HalfDone) -> None:
        begin = file.partial.checkpoint
        if not file.job.is_images:
            tell_what_is_lost(file.settings, file.hear)
        try:
            self._upscale(file, begin)
        except SoughtError:
            self._upscale(file, begin.from_the_start)

    def _upscale(self, file: HalfDone, begin: Checkpoint) -> None:
        settings, hear, meter = file.settings, file.hear, Meter()
        self.meter = meter
        began, passed = file.partial.opening, _Passed(file)
        precision = None if began is None else cast("Precision", began.precision)
        choose = choose_by(settings, self._engines, real_time=False, precision=precision)
        self.models = ModelChoice(settings.model.name, choose)
        upscale_part(
            open_source(settings.input, hear, coded_bits(settings)),
            self.models,
            Span(segment_of(settings), settings.limits),
            begin,
            WatchedSink(file, meter),
            workers=self._engines.workers,
            meter=meter,
            emit=hear,
            stop=file.stop,
            damage=hear.damage,
            passes=passed,
        )


def one_thread_of(device: str, precision: Precision | None) -> Engines:
    """Returns engines that share a machine with others, for models in that precision, if given."""
    return Engines(torch.device(device), threads=1, precision=precision)


def segment_of(settings: StreamSettings) -> Fraction:
    """Returns how long a segment is, in seconds."""
    return Fraction(settings.encoder.gop_s or 2).limit_denominator(1000)


class _Passed:
    """Says now and then how far a file is read that goes on: nothing new comes of it as yet."""

    def __init__(self, file: HalfDone) -> None:
        self._file, self._told_s = file, monotonic()

    def __call__(self, frames: int) -> None:
        if monotonic() - self._told_s < EVERY_S:
            return
        self._told_s = monotonic()
        done = self._file.partial.frames
        self._file.says(f"{self._file.job.source}: read again to {frames} of {done} done frames")


class WatchedSink:
    """A sink that tells how far it is, and keeps how often the network has failed."""

    def __init__(self, file: HalfDone, meter: Meter) -> None:
        done = file.partial.checkpoint
        self._sink, self._meter = file.sink(), meter
        self._frames, self._plain = done.frames, done.plain
        self._is_at, self._most = file.is_at, file.settings.limits.frames

    def open(self, frame: Frame, info: SourceInfo, model: LoadedModel) -> None:
        self._sink.open(frame, info, model)

    def write(self, frame: Frame, info: SourceInfo) -> None:
        self._sink.write(frame, info)
        self._frames += 1
        known = [count for count in (info.frames, self._most) if count is not None]
        self._is_at(self._frames, min(known, default=None))

    def commit(self, checkpoint: Checkpoint, end: End | None = None) -> None:
        self._sink.commit(replace(checkpoint, plain=self._plain + self._meter["failed"]), end)
