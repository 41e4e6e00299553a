"""Running pipelines from the command line: a file here with a progress bar, live ones as a node."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from rich.progress import TaskID

from streamsr.cli.terminal import console, progress_bar, run_until_interrupted
from streamsr.core.events import Code, Event, EventLog
from streamsr.core.redact import redact
from streamsr.core.settings import NodeSettings, PipelineSettings
from streamsr.node.node import Node
from streamsr.pipeline.build import open_pipeline
from streamsr.pipeline.pipeline import Pipeline

__all__ = ["run_here", "run_node"]

WATCH_S = 2.0  # between looks at the settings file


def run_here(settings: PipelineSettings) -> tuple[dict[str, Any], int]:
    """Run a pipeline in this process, with a progress bar; give its summary and the exit code."""
    with open_pipeline(settings, EventLog(monotonic)) as pipeline, progress_bar() as bar:

        async def work() -> dict[str, Any]:
            task = bar.add_task(settings.name, total=settings.limits.frames, fps="")
            drawing = asyncio.create_task(_draw(pipeline, bar.update, task, settings))
            try:
                return (await pipeline.run()).to_json()
            finally:
                drawing.cancel()

        return run_until_interrupted(work, pipeline.stop)


def run_node(
    settings: NodeSettings,
    reload: Callable[[], NodeSettings] | None = None,
    path: Path | None = None,
    seconds: float | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """Run streams in workers, served, published and steered; give summaries and the exit code.

    On SIGHUP, and when ``path`` changes, the settings that ``reload`` gives take their place. It
    ends after ``seconds``, where given.
    """
    node = Node(settings, EventLog(monotonic))

    def listening(url: str) -> None:
        console.print(f"Watch it, before and after, at {url}  (Ctrl-C ends it)", markup=False)

    async def work() -> list[dict[str, Any]]:
        watching = reload and asyncio.create_task(_watch(node, reload, path), name="settings")
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, node.stop)
        try:
            return await node.run(listening)
        finally:
            if watching:
                watching.cancel()

    return run_until_interrupted(work, node.stop)


async def _watch(node: Node, reload: Callable[[], NodeSettings], path: Path | None) -> None:
    """Reload on SIGHUP and when the file has changed; a bad change is refused whole."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    seen = _modified(path)
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S):
                await asked.wait()
        now = _modified(path)
        if asked.is_set() or now != seen:
            asked.clear()
            seen = now
            try:
                await node.reload(reload())
            except Exception as error:  # whatever is wrong with a file, the node goes on
                message = f"nothing has changed: {redact(error) or type(error).__name__}"
                node.emit(Event(Code.CONFIG_REFUSED, "", message))


def _modified(path: Path | None) -> int:
    """When the file was written last, in ns; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return 0


async def _draw(pipeline: Pipeline, update: Any, task: TaskID, settings: PipelineSettings) -> None:
    """Keep the bar up to date."""
    while True:
        status, info = pipeline.status(), pipeline.info
        total = info.frames if info is not None else None
        if settings.limits.frames is not None:
            total = min(total or settings.limits.frames, settings.limits.frames)
        update(task, completed=status.frames_out, total=total, fps=f"{status.fps:.1f} fps")
        await asyncio.sleep(0.2)
