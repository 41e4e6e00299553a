"""A task: one part of a file upscaled on a host, into a folder that gets its name once it is whole.

Whatever ends the process, no part of another name is one. Knows no Ray.
"""

import shutil
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from time import monotonic

from streamsr.core.errors import InputError, OutputError, StreamsrError
from streamsr.core.events import Event
from streamsr.core.metrics import Meter
from streamsr.files.checkpoint import Checkpoint
from streamsr.files.identity import differences, identity_of
from streamsr.files.part import upscale_part
from streamsr.files.partial import Partial
from streamsr.files.passage import SoughtError
from streamsr.files.span import Span
from streamsr.files.upscaling import HalfDone, Heard, WatchedSink, one_thread_of, segment_of
from streamsr.fleet.archive.orders import Failed, Made, Order
from streamsr.pipeline.build import choose_by, coded_bits
from streamsr.pipeline.model_choice import ModelChoice
from streamsr.sources.opening import open_source

__all__ = ["MARK", "make_part"]

MARK = "shared"  # a file in the folder of parts: what is in it tells whether it is the driver's


def make_part(order: Order, host: str) -> Made | Failed:
    """Makes a part, unless it is there. Whatever else than ``Failed`` goes wrong is raised."""
    began_s = monotonic()
    try:
        _check_folder(order)
        _check_source(order)
        if not (order.folder / order.part.name).is_dir():
            _make(order)
    except (StreamsrError, OSError) as error:
        return Failed(host, str(error))
    return Made(host, order.part.frames, monotonic() - began_s)


def _check_folder(order: Order) -> None:
    """Raises OutputError where this host does not have the driver's folder."""
    try:
        is_shared = (order.folder / MARK).read_text() == order.mark
    except OSError:
        is_shared = False
    if not is_shared:
        raise OutputError(
            f"output {order.folder}: this host has not got that folder as the driver has it, "
            "allowed is one that all hosts share, at the same path"
        )


def _check_source(order: Order) -> None:
    """Raises InputError where the source, or a model, is not what it is for the driver."""
    changed = differences(order.identity, identity_of(order.job.source, order.settings))
    if changed:
        raise InputError(f"input {order.job.source}: it is another one on this host: {changed}")


def _make(order: Order) -> None:
    name = order.part.name
    attempt = order.folder / f".{name}.{uuid.uuid4().hex}"
    try:
        _upscale(order, attempt)
        with suppress(OSError):  # another attempt, which was taken for dead, has made it too
            attempt.rename(order.folder / name)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)


def _upscale(order: Order, attempt: Path) -> None:
    part = order.part
    partial = Partial(attempt, order.identity)
    try:
        _upscale_from(part.begin, order, partial)
    except SoughtError:
        _upscale_from(part.begin.from_the_start, order, partial)
    partial.close()
    if partial.frames != part.after.frames:
        raise InputError(
            f"input {order.job.source}: got {partial.frames - part.begin.frames} frames from frame "
            f"{part.begin.frames} on, the driver {part.frames}"
        )


def _upscale_from(begin: Checkpoint, order: Order, partial: Partial) -> None:
    settings = order.settings
    hear = Heard(_hears_nothing)  # the driver tells it
    stop, meter = threading.Event(), Meter()
    file = HalfDone(order.job, settings, partial, stop, _says_nothing, hear, _is_nowhere)
    with one_thread_of(order.device, order.precision) as engines:
        upscale_part(
            open_source(settings.input, hear, coded_bits(settings)),
            ModelChoice(settings.model.name, choose_by(settings, engines, real_time=False)),
            Span(segment_of(settings), settings.limits, order.segments),
            begin,
            WatchedSink(file, meter),
            workers=engines.workers,
            meter=meter,
            emit=hear,
            stop=file.stop,
        )


def _says_nothing(message: str) -> None:
    pass


def _hears_nothing(event: Event) -> None:
    pass


def _is_nowhere(frames: int, of: int | None) -> None:
    pass
