"""From settings to a pipeline that is ready to run, everything it owns opened and closed."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from streamsr.core.devices import pick_device
from streamsr.core.errors import ConfigError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.settings import ModelSettings, OutputSettings, Quality, StreamSettings
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import ModelEngine
from streamsr.engine.engines import Engines
from streamsr.engine.mixed.blend import BlendedEngine
from streamsr.engine.mixed.compare import ComparedEngine
from streamsr.engine.mixed.loading import Load
from streamsr.engine.mixed.passes import in_passes
from streamsr.engine.mixed.run_up import with_run_up
from streamsr.media.addresses import (
    InputKind,
    input_kind,
    is_folder_output,
)
from streamsr.media.encoder_options import filled
from streamsr.media.muxing import FileWriter
from streamsr.media.source import SourceInfo
from streamsr.networks.flow import USUAL, Search
from streamsr.pipeline.check import check_output_path, check_packets
from streamsr.pipeline.delivery import FrameSink, PacketSink
from streamsr.pipeline.machine import Machine
from streamsr.pipeline.model_choice import Choose, Chosen, chooser, told_of_passes
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.pipeline import Pipeline
from streamsr.pipeline.selection import FOR_CLEAN, FOR_CODED, PLAIN, Selector
from streamsr.pipeline.sinks.folder import FolderSink
from streamsr.pipeline.sinks.plugin_sinks import OpenedSink, opened_sinks
from streamsr.sources.image_headers import checked_images
from streamsr.sources.opening import open_source
from streamsr.zoo.card import AUTO, Precision
from streamsr.zoo.loading import precisions_of
from streamsr.zoo.registry import Entry, members

__all__ = ["choose_by", "coded_bits", "open_pipeline", "tell_what_is_lost"]

PIPE_S = 10.0  # that viewers wait for the reader of a pipe, before it is given up


@contextmanager
def open_pipeline(
    settings: StreamSettings,
    emit: Emit,
    packet_sinks: Sequence[PacketSink] = (),
    engines: Engines | None = None,
    *,
    paced: bool = False,
    choose: Choose | None = None,
    sinks: Sequence[OpenedSink] = (),
) -> Iterator[Pipeline]:
    """Builds the pipeline that ``settings`` describe, its packets going to ``packet_sinks`` too.

    ``sinks`` are somebody else's, beside those that settings name. Models run in ``engines``, or in
    threads of its own; ``choose`` takes the place of what the settings say of them.
    ``paced``: a file at its own pace. Raises InputError, ModelError or
    OutputError for what cannot be opened. Leaving the context ends what was opened here; the
    pipeline closes its own sinks when it has run.
    """

    def emit_named(event: Event) -> None:
        emit(replace(event, stream=settings.name))

    source = open_source(settings.input, emit_named, coded_bits(settings))
    aborted = threading.Event()
    frame_sinks, files = _sinks(
        settings, aborted, PIPE_S if packet_sinks else None, steady=source.live
    )
    tell_what_is_lost(settings, emit)
    with ExitStack() as stack:
        if engines is None:
            engines = stack.enter_context(Engines(torch.device(pick_device(settings.model.device))))
        plugged = stack.enter_context(opened_sinks(settings.sinks, sinks))
        if plugged[1]:
            check_packets(settings.encoder)
        frame_sinks, packet_sinks = [*frame_sinks, *plugged[0]], [*packet_sinks, *plugged[1]]
        real_time = source.live or paced
        encoder = filled(settings.encoder, low_delay=real_time or bool(packet_sinks))
        if real_time:
            stack.enter_context(engines.shared())
        yield Pipeline(
            settings.model_copy(update={"encoder": encoder}),
            source,
            choose or choose_by(settings, engines, real_time=real_time),
            workers=engines.workers,
            device=str(engines.device),
            emit=emit,
            frame_sinks=frame_sinks,
            packet_sinks=[*files, *packet_sinks],
            paced=paced,
            aborted=aborted,
            self_check_s=settings.model.self_check_s if real_time else 0.0,
        )


def choose_by(
    settings: StreamSettings,
    engines: Engines,
    *,
    real_time: bool,
    precision: Precision | None = None,
) -> Choose:
    """Returns what chooses and loads the models that ``settings`` describe.

    ``precision``: of networks that can have it, where the settings name none. Raises ModelError
    where there is no such model, before a source is known, and ConfigError where its frames cannot
    have the time that ``model.quality`` asks for.
    """
    model = settings.model
    if model.name != AUTO:
        members(model.name, model.folders)
    if real_time and model.quality is Quality.BEST:
        raise ConfigError("model.quality: got best, allowed is usual for what is in real time")
    encoder = filled(settings.encoder, low_delay=real_time)
    record = settings.record if real_time else None
    machine = Machine(engines, encoder, record, model.precision)
    load = _loading(engines, model, precision)
    if not real_time:
        load = with_run_up(load)
    best = model.quality is Quality.BEST
    if model.quality is Quality.AUTO:
        best = not real_time and _of_images(settings)
    if best:
        load = in_passes(load)
    if model.denoise is None:
        choose = chooser(Selector(settings, machine, real_time=real_time), load)
    elif real_time:
        raise ConfigError(f"model.denoise: got {model.denoise:g}, allowed is it of a file alone")
    else:
        choose = _denoised(settings, machine, load)
    return choose if settings.output.compare is None else _compared(choose, settings.output)


def _loading(engines: Engines, model: ModelSettings, usual: Precision | None) -> Load:
    """Returns what loads a stream's models, as its settings have it."""
    memory = None if model.memory_mb is None else model.memory_mb << 20

    def load(entry: Entry, search: Search = USUAL) -> ModelEngine:
        precision = None if entry.card.is_filter else model.precision
        if precision is None and usual in precisions_of(entry.card, engines.device):
            precision = usual
        return engines.load(entry, precision, memory, search)

    return load


def _denoised(settings: StreamSettings, machine: Machine, load: Load) -> Choose:
    """Returns what chooses the network that restores, and takes ``model.denoise`` of it: the rest
    is of the one that keeps what it sees, or is the frame itself where that grows no larger."""
    share = settings.model.denoise or 0.0

    def by(family: str) -> Choose:
        model = settings.model.model_copy(update={"name": family, "denoise": None})
        named = settings.model_copy(update={"model": model})
        return chooser(Selector(named, machine, real_time=False), load)

    def chosen(info: SourceInfo, kept: TargetSize | None) -> Chosen:
        restoring = by(FOR_CODED)(info, kept)
        assert restoring.target is not None  # a selector names it
        grows = restoring.target.of(info.width, info.height)[0] > info.width
        keeping = by(FOR_CLEAN if grows else PLAIN)(info, restoring.target)
        one, other = keeping.models[0], restoring.models[0]
        if share in (0.0, 1.0):
            return (keeping, restoring)[round(share)]
        engine = BlendedEngine(one.engine, other.engine, share)
        runs = (*keeping.runs, *restoring.runs)
        told = f"{share:.0%} of {other.name}, the rest of {one.name}{told_of_passes(runs)}"
        return Chosen([LoadedModel(other.name, engine)], restoring.target, told, runs)

    return chosen


def _compared(choose: Choose, output: OutputSettings) -> Choose:
    """Returns what chooses as ``choose`` does, models giving before and after in one."""
    compare, labels = output.compare, output.labels
    assert compare is not None

    def chosen(info: SourceInfo, kept: TargetSize | None) -> Chosen:
        made = choose(info, kept)
        models = [
            LoadedModel(model.name, ComparedEngine(model.engine, compare, labels=labels))
            for model in made.models
        ]
        return replace(made, models=models)

    return chosen


def coded_bits(settings: StreamSettings) -> int | None:
    """How many bits a file's frames have; None: as many as come."""
    path = settings.output.path
    in_file = path is not None and not is_folder_output(path)
    if settings.encoder.codec != "hevc" or not in_file:
        return 8
    return settings.encoder.depth if pick_device(settings.model.device) == "cpu" else 8


def _folder_of(settings: StreamSettings) -> Path | None:
    """The folder of images that frames come from, where they do."""
    url = settings.input.url
    is_folder = input_kind(url, settings.input.live) is InputKind.FOLDER
    return Path(url) if is_folder else None


def _of_images(settings: StreamSettings) -> bool:
    """Whether frames come from a folder of images, or go into one."""
    path = settings.output.path
    return _folder_of(settings) is not None or (path is not None and is_folder_output(path))


def tell_what_is_lost(settings: StreamSettings, emit: Emit) -> None:
    """Says what video does not hold of a folder of images."""
    folder = _folder_of(settings)
    if folder is None or (settings.output.path and is_folder_output(settings.output.path)):
        return
    headers = [header for _, header in checked_images(folder)]
    deep = any(h.bits > 8 for h in headers)
    lost = ["transparency, which is left out"] if any(h.alpha for h in headers) else []
    if deep and coded_bits(settings) == 8:
        lost.append("16 bits a sample, which are rounded to 8")
    if lost:
        message = f"the images have {' and '.join(lost)}: a folder of images would keep it"
        emit(Event(Code.SRC_REDUCED, settings.name, message))


def _sinks(
    settings: StreamSettings, aborted: threading.Event, pipe_s: float | None, *, steady: bool
) -> tuple[list[FrameSink], list[PacketSink]]:
    check_output_path(settings)
    output, path = settings.output, settings.output.path
    if path is None:
        return [], []
    if is_folder_output(path):
        return [FolderSink(path, _folder_of(settings), output)], []
    return [], [FileWriter(path, aborted, pipe_s, steady=steady)]
