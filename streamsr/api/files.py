"""A file through a loaded model into another, by the pipeline that ``upscale`` runs."""

import asyncio
import threading
from collections.abc import Callable
from os import PathLike, fspath
from typing import Any

from streamsr.core.config import parse
from streamsr.core.events import Emit
from streamsr.core.settings import PipelineSettings
from streamsr.core.status import StreamStatus
from streamsr.engine.engines import Engines
from streamsr.pipeline import build
from streamsr.pipeline.model_choice import Choose

__all__ = ["upscale_file"]


def upscale_file(
    source: str | PathLike[str],
    output: dict[str, Any],
    frames: int | None,
    engines: Engines,
    choose: Choose,
    emit: Emit,
) -> StreamStatus:
    """Runs a pipeline by the models that are chosen; returns what it did.

    ``output`` is the group of that name of its settings. Raises ConfigError, InputError, ModelError
    and OutputError. Where a loop runs in this thread, another one works.
    """
    data = {"input": {"url": fspath(source)}, "output": output, "limits": {"frames": frames}}
    settings = parse(data, PipelineSettings, "upscale_file")

    async def run() -> StreamStatus:
        with build.open_pipeline(settings, emit, engines=engines, choose=choose) as pipeline:
            return await pipeline.run()

    return _outside_loop(lambda: asyncio.run(run()))


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
