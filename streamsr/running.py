"""Running pipelines from the command line: a file here with a progress bar, live ones as a node."""

import asyncio
from time import monotonic
from typing import Any

from rich.progress import TaskID

from streamsr.building import open_pipeline
from streamsr.events import EventLog
from streamsr.node import Node
from streamsr.pipeline import Pipeline
from streamsr.settings import PipelineSettings
from streamsr.terminal import console, progress_bar, run_until_interrupted

__all__ = ["run_here", "run_node"]


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


def run_node(settings: PipelineSettings) -> tuple[list[dict[str, Any]], int]:
    """Run a pipeline in a worker, served; give the summaries and the exit code."""
    node = Node([settings], settings.serve, EventLog(monotonic))

    def listening(url: str) -> None:
        console.print(f"Watch it, before and after, at {url}  (Ctrl-C ends it)", markup=False)

    return run_until_interrupted(lambda: node.run(listening), node.stop)


async def _draw(pipeline: Pipeline, update: Any, task: TaskID, settings: PipelineSettings) -> None:
    """Keep the bar up to date."""
    while True:
        status, info = pipeline.status(), pipeline.info
        total = info.frames if info is not None else None
        if settings.limits.frames is not None:
            total = min(total or settings.limits.frames, settings.limits.frames)
        update(task, completed=status.frames_out, total=total, fps=f"{status.fps:.1f} fps")
        await asyncio.sleep(0.2)
