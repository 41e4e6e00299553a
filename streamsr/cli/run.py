"""Runs pipelines from the command line: one in this process, or a node with its workers."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer
from rich.progress import Progress, TaskID

from streamsr.cli.terminal import INTERRUPTED, progress_bar, report, say
from streamsr.core.deadline import STOP_S, Deadline
from streamsr.core.events import Code, Event, EventLog
from streamsr.core.redact import redact
from streamsr.core.settings import NodeSettings, PipelineSettings
from streamsr.core.status import StreamStatus
from streamsr.core.waiting import wait_set
from streamsr.pipeline.check import check_settings

if TYPE_CHECKING:
    from streamsr.node.node import Node
    from streamsr.pipeline.pipeline import Pipeline

__all__ = ["run_here", "run_node", "run_until_interrupted"]

HARD_STOP_S = 2 * STOP_S  # after SIGINT or SIGTERM the process ends, whatever hangs
WATCH_S = 2.0  # between looks at the settings file

T = TypeVar("T")


def run_here(settings: PipelineSettings, as_json: bool) -> NoReturn:
    """Runs a pipeline in this process, with a progress bar, prints its summary and exits.

    Raises what the user has to correct before torch is imported, which takes seconds.
    """
    check_settings(settings)
    if os.path.isfile(settings.input.url) or os.path.isdir(settings.input.url):  # no pipe
        from streamsr.cli.probe import first_frame

        first_frame(settings)
    from streamsr.pipeline.build import open_pipeline

    with open_pipeline(settings, EventLog(monotonic)) as pipeline, progress_bar() as bar:

        async def work() -> StreamStatus:
            task = bar.add_task(settings.name, total=settings.limits.frames, fps="")
            drawing = asyncio.create_task(_draw(pipeline, bar, task, settings.limits.frames))
            try:
                return await pipeline.run()
            finally:
                drawing.cancel()

        summary, code = run_until_interrupted(work, pipeline.stop)
    report([summary], as_json)
    raise typer.Exit(code)


def run_node(
    settings: NodeSettings,
    as_json: bool,
    reload: Callable[[], NodeSettings] | None = None,
    path: Path | None = None,
    seconds: float | None = None,
) -> NoReturn:
    """Runs a node's streams in workers, prints their summaries and exits.

    On SIGHUP, and when ``path`` changes, ``reload`` returns the settings that take their place.
    It ends after ``seconds``, where given.
    """
    if reload is not None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the loop handles it
    from streamsr.node.node import Node

    node = Node(settings, EventLog(monotonic))

    def listening(url: str) -> None:
        say(f"Watch it, before and after, at {url}  (Ctrl-C ends it)")

    async def work() -> list[StreamStatus]:
        watching = reload and asyncio.create_task(_watch(node, reload, path), name="settings")
        if seconds is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, lambda: node.stop(Deadline.after()))
        try:
            return await node.run(listening)
        finally:
            if watching:
                watching.cancel()

    summaries, code = run_until_interrupted(work, node.stop)
    report(summaries, as_json)
    raise typer.Exit(code)


def run_until_interrupted(
    work: Callable[[], Awaitable[T]],
    stop: Callable[[Deadline], None],
    hard_stop_s: float = HARD_STOP_S,
) -> tuple[T, int]:
    """Runs ``work`` until it ends; SIGINT or SIGTERM asks it to ``stop`` by a deadline.

    A second signal ends the process at once, as ``hard_stop_s`` after the first does. Returns the
    result of ``work`` and the exit code: 130 after SIGINT, else 0.
    """

    def end_now() -> None:
        say(f"streamsr: it has not stopped within {hard_stop_s:g} s: ended")
        os._exit(INTERRUPTED)

    async def main() -> tuple[T, int]:
        loop = asyncio.get_running_loop()
        received: list[int] = []

        def interrupted(number: int) -> None:
            if received:
                os._exit(INTERRUPTED)
            received.append(number)
            loop.call_later(hard_stop_s, end_now)
            stop(Deadline.after())

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted, number)
        result = await work()
        return result, INTERRUPTED if signal.SIGINT in received else 0

    return asyncio.run(main())


async def _watch(node: "Node", reload: Callable[[], NodeSettings], path: Path | None) -> None:
    """Reloads on SIGHUP and when the file has changed; a wrong change is refused whole."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    seen = _modified_ns(path)
    while True:
        told = await wait_set(asked, WATCH_S)
        now = _modified_ns(path)
        if told or now != seen:
            asked.clear()
            seen = now
            try:
                await node.reload(reload())
            except Exception as error:  # whatever is wrong with a file, the node goes on
                message = f"nothing has changed: {redact(error) or type(error).__name__}"
                node.emit(Event(Code.CONFIG_REFUSED, "", message))


def _modified_ns(path: Path | None) -> int:
    """When the file was last written; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return 0


async def _draw(pipeline: "Pipeline", bar: Progress, task: TaskID, limit: int | None) -> None:
    """Keeps the bar up to date."""
    while True:
        status, info = pipeline.status(), pipeline.info
        totals = [n for n in (limit, info.frames if info else None) if n is not None]
        fps = f"{status.fps:.1f} fps"
        bar.update(task, completed=status.frames_out, total=min(totals, default=None), fps=fps)
        await asyncio.sleep(0.2)
