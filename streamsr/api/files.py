"""A file through a loaded model into another, by the pipeline that ``upscale`` runs."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path

from streamsr.api.clips import ImageClips, warn
from streamsr.api.models import path_of
from streamsr.core.config import parse
from streamsr.core.errors import OutputError
from streamsr.core.settings import PipelineSettings
from streamsr.core.status import StreamStatus
from streamsr.core.target_size import TargetSize
from streamsr.engine.mixed.run_up import run_up_by
from streamsr.media.addresses import DEMO, OVERWRITE, PUBLISHED, STDIO, is_folder_output
from streamsr.media.source import SourceInfo
from streamsr.pipeline import build
from streamsr.pipeline.model_choice import Chosen
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.selection import family_for

__all__ = ["upscale_file"]


def upscale_file(
    clips: ImageClips,
    source: str | PathLike[str],
    target: str | PathLike[str],
    overwrite: bool,
    frames: int | None,
) -> StreamStatus:
    """Runs a pipeline by the model of an upscaler and on its engine; returns what it did.

    One that leaves its model open (``auto``) has the family that suits the file.

    Raises ConfigError, InputError, ModelError and OutputError. Where a loop runs in this thread,
    another one works.
    """
    path = Path(path_of(target, "target"))
    output = {"path": path, "overwrite": overwrite, **clips.wanted.output}
    url = path_of(source, "source")
    if not isinstance(source, str) and url in (DEMO, STDIO, PUBLISHED):
        url = f"./{url}"  # a path is a file's, whatever its name means in settings
    data = {"input": {"url": url}, "output": output}
    settings = parse(data | {"limits": {"frames": frames}}, PipelineSettings, "upscale_file")
    clips.check()

    def choose(info: SourceInfo, kept: TargetSize | None) -> Chosen:
        wanted = clips.wanted
        if wanted.auto:
            wanted = replace(wanted, model=family_for(info, settings.input.url))
        entry, made = wanted.member(info.width, info.height)
        if made is not None and not is_folder_output(path):
            made = wanted.target(even=True)
        engine = run_up_by(clips.engine.load(entry, clips.precision))
        return Chosen([LoadedModel(entry.name, engine)], kept or made)

    async def run() -> StreamStatus:
        engines = clips.engine.engines
        with build.open_pipeline(settings, warn, engines=engines, choose=choose) as pipeline:
            return await pipeline.run()

    try:
        return _outside_loop(lambda: asyncio.run(run()))
    except OutputError as error:
        raise OutputError(str(error).replace(OVERWRITE, "overwrite=True")) from error.__cause__


def _outside_loop(function: Callable[[], StreamStatus]) -> StreamStatus:
    """Calls what begins a loop, in a thread of its own where one runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    results: list[StreamStatus] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # whatever it is belongs to the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="streamsr-file")
    thread.start()
    thread.join()
    for error in errors:
        raise error
    return results[0]
