"""A whole pipeline in a program of one's own, opened and closed as a context."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from os import PathLike
from pathlib import Path
from typing import Any

from streamsr.api.local_worker import LocalWorker
from streamsr.api.models import path_of
from streamsr.api.opened import NodeRun, OpenedPipeline, PipelineRun, Run, SinkClosing
from streamsr.api.shared import SharedEngine
from streamsr.api.told import ToldEvents
from streamsr.core.config import load, parse
from streamsr.core.devices import pick_device
from streamsr.core.errors import ConfigError, InputError, OutputError
from streamsr.core.events import Event
from streamsr.core.events.journal import Journal
from streamsr.core.redact import redact
from streamsr.core.settings import PipelineSettings, WebRtcSettings
from streamsr.node.node import Node
from streamsr.pipeline import build
from streamsr.pipeline.check import check_settings, unused_by_input
from streamsr.pipeline.sinks.plugin_sinks import OpenedSink
from streamsr.plugins.contracts import Sink

__all__ = ["open_pipeline"]


@asynccontextmanager
async def open_pipeline(
    settings: PipelineSettings | Mapping[str, Any] | str | PathLike[str],
    emit: Callable[[Event], None] | None = None,
    *,
    sinks: Iterable[Sink] = (),
    engine: SharedEngine | None = None,
) -> AsyncIterator[OpenedPipeline]:
    """Opens a whole pipeline in this process: ``await`` its ``run()``.

    ``settings`` are a pipeline file, or what one holds, as ``pipelines/reference.toml`` shows. All
    of them count: files and folders, servers, HLS, recordings, the page and MQTT. ``sinks`` take
    what is made beside those, and are closed at the end, whatever happens. ``engine`` runs its
    models, beside the streams of others; else it has threads of its own. ``emit`` is called with
    events, each change once, in whichever thread it happens and by several at once; left out, they
    are logged by the logger "streamsr".

    Raises ConfigError, which names the setting, InputError, ModelError or OutputError. Leaving the
    context stops what still runs.
    """
    if not isinstance(sinks, Iterable):
        got = type(sinks).__name__
        raise ConfigError(f"sinks: got {got}, allowed are several of them: a list of one is right")
    taken, faults = _looked_at(sinks)
    async with AsyncExitStack() as stack:
        closing = SinkClosing(taken)
        stack.push_async_callback(closing.drop)
        if faults:
            raise faults[0]
        if emit is not None and (not callable(emit) or iscoroutinefunction(emit)):
            got = "an async function" if callable(emit) else repr(emit)
            allowed = "a function that takes an Event; events() is for async for"
            raise ConfigError(f"emit: got {got}, allowed is {allowed}")
        settings = _checked(settings)
        if engine is not None:
            settings = _on(engine, settings)
        shared = engine or stack.enter_context(SharedEngine(settings.model.device))
        kept_open = [replace(sink, close=lambda: None) for sink in taken]
        journal = Journal()
        told = ToldEvents(journal, emit)
        run: Run
        if settings.needs_node:
            workers = partial(LocalWorker, sinks=kept_open, engine=shared)
            run = NodeRun(Node(settings.as_node(), journal, worker_of=workers), settings.name)
        else:
            engines = shared.engines
            opening = build.open_pipeline(settings, journal, engines=engines, sinks=kept_open)
            run = PipelineRun(stack.enter_context(opening), journal)
        opened = OpenedPipeline(run, told, closing, shared)
        stack.push_async_callback(opened.close)
        yield opened


def _looked_at(sinks: Iterable[Sink]) -> tuple[list[OpenedSink], list[OutputError]]:
    """Returns what the sinks are, each once, and what is wrong with those that are none."""
    taken: dict[int, OpenedSink] = {}
    faults: list[OutputError] = []
    for sink in sinks:
        name = type(sink).__name__
        try:
            if id(sink) in taken:
                raise OutputError(f"sinks: got the same {name} twice, allowed is each object once")
            taken[id(sink)] = OpenedSink.of(sink, f"sink {name}")
        except OutputError as fault:
            faults.append(fault)
    return list(taken.values()), faults


def _on(engine: SharedEngine, settings: PipelineSettings) -> PipelineSettings:
    """The settings of a pipeline that an engine runs. Raises ConfigError, InputError."""
    if not isinstance(engine, SharedEngine):
        raise InputError(f"engine: got {engine!r}, allowed is a streamsr.Engine")
    engine.check()
    model, device = settings.model, str(engine.device)
    if model.device not in ("auto", device) and pick_device(model.device) != device:
        raise ConfigError(
            f"settings: model.device: got {model.device!r}, allowed is that of the engine, "
            f"{device!r}"
        )
    folders = (*model.folders, *engine.folders)
    return settings.model_copy(
        update={"model": model.model_copy(update={"device": device, "folders": folders})}
    )


def _checked(
    settings: PipelineSettings | Mapping[str, Any] | str | PathLike[str],
) -> PipelineSettings:
    """Raises ConfigError for what is no setting, and what a program cannot have."""
    if isinstance(settings, str | PathLike):
        settings = load(Path(path_of(settings, "settings")), PipelineSettings)
    elif isinstance(settings, Mapping):
        settings = parse(dict(settings), PipelineSettings, "settings")
    elif not isinstance(settings, PipelineSettings):
        raise ConfigError(
            f"settings: got {type(settings).__name__}, allowed are a file's path, a dict and "
            "streamsr.PipelineSettings"
        )
    for key, got, instead in _refused(settings):
        raise ConfigError(f"settings: {key}: got {got}: {instead}")
    check_settings(settings)
    return settings


def _refused(settings: PipelineSettings) -> Iterator[tuple[str, str, str]]:
    """Yields what a program cannot have: the key, what it is, and what to do instead."""
    for key, value, allowed in unused_by_input(settings.input):
        shown = redact(settings.input.url)
        yield f"input.{key}", repr(value), f"allowed is it of {allowed}, the input is {shown}"
    serve, steered = settings.serve, settings.serve or settings.mqtt
    nobody = "nothing could switch it on, leave it out, or add [serve] or [mqtt], which can"
    if not settings.enabled and not steered:
        yield "enabled", "false", nobody
    if settings.record is not None and not settings.record.enabled and not steered:
        yield "record.enabled", "false", nobody
    if settings.hls is not None and settings.hls.folder is None and serve is None:
        yield "hls.folder", "none", "name one, or add [serve], which offers HLS without files"
    if serve is None:
        for key in WebRtcSettings.model_fields:
            if getattr(settings.webrtc, key) != WebRtcSettings.model_fields[key].default:
                got = repr(settings.webrtc.model_dump(mode="json")[key])
                yield f"webrtc.{key}", got, "[serve] alone uses it, add that or leave it out"
        return
    if serve.edits == "file":
        yield "serve.edits", "'file'", "there is no node file to write into, use 'forget'"
    if serve.state_folder is not None:
        got = repr(str(Path(serve.state_folder)))
        yield "serve.state_folder", got, "changes last as long as the pipeline, leave it out"
