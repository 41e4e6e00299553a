"""From settings to a pipeline that is ready to run, everything it owns opened and closed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from streamsr.delivery import FrameSink, PacketSink
from streamsr.engine.runner import Engine, pick_device
from streamsr.errors import OutputError
from streamsr.events import Emit, Event
from streamsr.frame import Frame
from streamsr.media.images import ImageWriter
from streamsr.media.muxing import FileWriter
from streamsr.media.opening import open_source
from streamsr.media.source import SourceInfo
from streamsr.pipeline import Limits, Pipeline
from streamsr.settings import PipelineSettings
from streamsr.zoo.registry import choose, find, load_model

__all__ = ["check_settings", "open_pipeline"]


@contextmanager
def open_pipeline(
    settings: PipelineSettings, emit: Emit, packet_sinks: Sequence[PacketSink] = ()
) -> Iterator[Pipeline]:
    """Build the pipeline that ``settings`` describe, its packets going to ``packet_sinks`` too.

    Raises InputError, ModelError or OutputError for what cannot be opened. Leaving the context
    ends the engine; the pipeline closes its own sinks when it has run.
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
    device = pick_device(settings.model.device)
    # a live stream keeps its cores free for what else must not be late
    pick = find if source.live or settings.serve is not None else partial(choose, device)
    entry = pick(settings.model.name, settings.model.folders)
    frame_sinks, files = _sinks(settings)
    with Engine(load_model(entry, device), device) as engine:
        yield Pipeline(
            settings.name,
            source,
            engine,
            model_name=entry.name,
            emit=emit,
            frame_sinks=frame_sinks,
            packet_sinks=[*files, *packet_sinks],
            encoder=settings.encoder,
            with_input=bool(packet_sinks),
            limits=Limits(settings.limits.frames, settings.limits.seconds),
            paced=settings.serve is not None,
        )


def check_settings(settings: PipelineSettings) -> None:
    """Raise what would stop the pipeline at once, before a process is started for it."""
    url = settings.input.url
    open_source(url, lambda event: None, live=settings.input.live)
    pick_device(settings.model.device)
    find(settings.model.name, settings.model.folders)
    _sinks(settings)


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


def _sinks(settings: PipelineSettings) -> tuple[list[FrameSink], list[PacketSink]]:
    output, path = settings.output, settings.output.path
    if path is None:
        return [], []
    if path.exists() and Path(settings.input.url).exists() and path.samefile(settings.input.url):
        raise OutputError(f"output {path}: it is the input; it would be lost")
    if (not path.suffix or path.is_dir()) and settings.serve is None:
        return [_Images(path, output.overwrite)], []
    if path.exists() and not output.overwrite:
        raise OutputError(f"output {path}: it exists already; --overwrite replaces it")
    return [], [FileWriter(path)]
