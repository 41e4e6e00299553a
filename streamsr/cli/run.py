"""Runs pipelines from the command line: one in this process, or a node with its workers."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer
from rich.progress import Progress, TaskID

from streamsr.cli.terminal import (
    INTERRUPTED,
    Lines,
    MadeFile,
    progress_bar,
    report,
    say,
    shown_fps,
    time_text,
)
from streamsr.core.deadline import STOP_S, STREAM_SHARE, Deadline
from streamsr.core.errors import UserError
from streamsr.core.events import Code
from streamsr.core.events.journal import logged_journal
from streamsr.core.files import FILE_MASK
from streamsr.core.settings import NodeSettings, PipelineSettings
from streamsr.core.status import StreamStatus
from streamsr.media.addresses import STDIO, InputKind, input_kind, is_pipe_output
from streamsr.pipeline.check import check_settings

if TYPE_CHECKING:
    from streamsr.pipeline.pipeline import Pipeline

__all__ = ["run_here", "run_node", "run_until_interrupted"]

NOT_WHOLE = 1  # the exit code of a run that made nothing, or left out what could not be read
HARD_STOP_S = 2 * STOP_S  # after SIGINT or SIGTERM the process ends, whatever hangs

T = TypeVar("T")


def run_here(settings: PipelineSettings, as_json: bool) -> NoReturn:
    """Runs a pipeline in this process, with a progress bar, prints its summary and exits.

    Raises what the user has to correct before torch is imported, which takes seconds.
    """
    check_settings(settings)
    url, output = settings.input.url, settings.output.path
    waits = (os.path.isfile(url) and not settings.input.follow) or os.path.isdir(url)  # no pipe
    if waits:
        from streamsr.cli.probe import first_frame

        first_frame(settings)
    from streamsr.pipeline.build import open_pipeline

    journal, began_s = logged_journal(), monotonic()
    with open_pipeline(settings, journal) as pipeline, progress_bar() as bar:

        async def work() -> StreamStatus:
            task = bar.add_task(settings.name, total=settings.limits.frames, fps="")
            drawing = asyncio.create_task(_draw(pipeline, bar, task, settings.limits.frames))
            ticking = asyncio.create_task(journal.run(), name="journal")
            try:
                return await pipeline.run()
            finally:
                drawing.cancel()
                ticking.cancel()

        summary, code = run_until_interrupted(work, lambda d: pipeline.stop(d.share(STREAM_SHARE)))
    made: MadeFile | None = None
    if waits and output is not None and not is_pipe_output(output):
        made = MadeFile(output, monotonic() - began_s)
    report([summary], as_json, to_stderr=str(output) == STDIO, made=made)
    is_live = input_kind(url, settings.input.live) is InputKind.LIVE  # which loses packets
    whole = summary.frames_out and (is_live or Code.SRC_DAMAGED not in journal.counts)
    _leave(code if whole else code or NOT_WHOLE)


def _leave(code: int) -> NoReturn:
    """Exits: at once where a source is left behind in a read, which uses what exiting frees."""
    if any(thread.name.startswith("streamsr-source") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code)


def run_node(
    read: Callable[[], NodeSettings],
    as_json: bool,
    path: Path | None = None,
    seconds: float | None = None,
    overrides: list[str] | None = None,
) -> NoReturn:
    """Runs a node's streams in workers, prints their summaries and exits.

    ``read`` returns the settings, also those that take their place on SIGHUP, and when ``path``
    changes. It ends after ``seconds``, where given. ``overrides``: what the command line lays over
    a node file, whose cameras can be edited; None where it is none.
    """
    os.umask(FILE_MASK)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the loop handles it
    settings = read()
    for stream in settings.streams:
        if STDIO in (stream.input.url, str(stream.output.path)):
            raise UserError(
                f"{stream.name}: got - for stdin or stdout, which workers do not have, allowed is "
                "a named pipe"
            )
    from streamsr.node.kept import open_edits
    from streamsr.node.node import Node
    from streamsr.node.reload import reload_on_change

    journal = logged_journal()
    node = Node(settings, journal, open_edits(settings, path, overrides, journal))

    def listening(url: str) -> None:
        say(f"Watch it, before and after, at {url}  (Ctrl-C ends it)")

    async def work() -> list[StreamStatus]:
        watching = asyncio.create_task(reload_on_change(node, read, path), name="settings")
        if seconds is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, lambda: node.stop(Deadline.after()))
        try:
            return await node.run(listening)
        finally:
            watching.cancel()

    asked: list[Deadline] = []  # to stop, by a signal: it may have had nothing to do as yet

    def stop(deadline: Deadline) -> None:
        asked.append(deadline)
        node.stop(deadline)

    summaries, code = run_until_interrupted(work, stop)
    report(summaries, as_json)
    publishes = any(stream.publish for stream in settings.streams)
    if publishes and not asked and not any(summary.frames_out for summary in summaries):
        code = code or NOT_WHOLE
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


async def _draw(pipeline: "Pipeline", bar: Progress, task: TaskID, limit: int | None) -> None:
    """Keeps the bar up to date, or says now and then how far it is."""
    lines = Lines()
    while True:
        status, info = pipeline.status(), pipeline.info
        totals = [n for n in (limit, info.frames if info else None) if n is not None]
        fps = f"{shown_fps(status.fps)} fps"
        bar.update(task, completed=status.frames_out, total=min(totals, default=None), fps=fps)
        of = min(totals, default=None)
        left_s = (of - status.frames_out) / status.fps if of and status.fps else None
        lines.now_and_then(
            f"{status.frames_out}{f' of {of}' if of else ''} frames, {fps}"
            f"{f', {time_text(left_s)} left' if left_s is not None else ''}"
        )
        await asyncio.sleep(0.2)
