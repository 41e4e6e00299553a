"""From settings to a pipeline that is ready to run, everything it owns opened and closed."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

from streamsr.core.devices import pick_device
from streamsr.core.events import Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.settings import ModelSettings, StreamSettings
from streamsr.engine.engines import Engines
from streamsr.media.addresses import is_folder_output
from streamsr.media.images import ImageWriter
from streamsr.media.muxing import FileWriter
from streamsr.media.opening import open_source
from streamsr.media.source import SourceInfo
from streamsr.pipeline.capture import Limits
from streamsr.pipeline.check import check_output_path
from streamsr.pipeline.delivery import FrameSink, PacketSink
from streamsr.pipeline.model_session import Step
from streamsr.pipeline.pipeline import Pipeline
from streamsr.zoo.loading import choose
from streamsr.zoo.registry import find, lighter_of

__all__ = ["ladder_of", "open_pipeline"]


@contextmanager
def open_pipeline(
    settings: StreamSettings,
    emit: Emit,
    packet_sinks: Sequence[PacketSink] = (),
    engines: Engines | None = None,
    *,
    paced: bool = False,
) -> Iterator[Pipeline]:
    """Build the pipeline that ``settings`` describe, its packets going to ``packet_sinks`` too.

    Its models run in ``engines``, or in threads of its own. ``paced``: a file at its own pace.
    Raises InputError, ModelError or OutputError for what cannot be opened. Leaving the context
    ends what was opened here; the pipeline closes its own sinks when it has run.
    """

    def emit_named(event: Event) -> None:
        emit(replace(event, stream=settings.name))

    source = open_source(
        settings.input.url,
        emit_named,
        transport=settings.input.transport,
        rate=settings.input.exact_rate,
        live=settings.input.live,
        give_up_s=settings.input.give_up_s,
    )
    frame_sinks, files = _sinks(settings)
    with ExitStack() as stack:
        if engines is None:
            engines = stack.enter_context(Engines(torch.device(pick_device(settings.model.device))))
        in_haste = source.live or paced
        yield Pipeline(
            settings.name,
            source,
            ladder_of(settings.model, engines, in_haste=in_haste),
            emit=emit,
            frame_sinks=frame_sinks,
            packet_sinks=[*files, *packet_sinks],
            encoder=settings.encoder,
            limits=Limits(settings.limits.frames, settings.limits.seconds),
            budget_s=settings.model.budget_ms / 1e3,
            paced=paced,
            self_check_s=settings.model.self_check_s if in_haste else 0.0,
        )


def ladder_of(model: ModelSettings, engines: Engines, *, in_haste: bool = True) -> list[Step]:
    """The models a stream may run, loaded: its own, and where it has a ladder the lighter one that
    its card names and those of the ladder. A file, which can wait, needs no more than the first.
    Raises ModelError.
    """
    first = choose(engines.device, model.name, model.folders)
    if not in_haste:
        return [Step(first.name, engines.load(first))]
    lighter = lighter_of(first, model.folders) if model.fallback else None
    others = [find(name, model.folders) for name in model.fallback]
    entries = {entry.folder: entry for entry in (first, lighter, *others) if entry}.values()
    scale = first.facts.scale
    return [
        Step(entry.name, engines.load(entry)) for entry in entries if entry.facts.scale == scale
    ]


class _Images:
    """A folder of PNG frames as a frame sink: named as the input's, or numbered."""

    def __init__(self, folder: Path, overwrite: bool) -> None:
        self._writer = ImageWriter(folder, overwrite=overwrite)
        self._number = 0

    def write(self, frame: Frame, info: SourceInfo) -> None:
        self._number += 1
        name = info.names[frame.pts] if info.names else f"frame_{self._number:06d}.png"
        self._writer.write(frame, name)

    def close(self) -> None:
        """Every picture is whole already; a folder without any goes."""
        if self._number == 0:
            with suppress(OSError):  # there is something else in it
                self._writer.folder.rmdir()


def _sinks(settings: StreamSettings) -> tuple[list[FrameSink], list[PacketSink]]:
    check_output_path(settings)
    output, path = settings.output, settings.output.path
    if path is None:
        return [], []
    if is_folder_output(path):
        return [_Images(path, output.overwrite)], []
    return [], [FileWriter(path)]
