"""The terminal's side of the commands: logs, progress, summaries, signals and exit codes."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.redact import redact

__all__ = [
    "console",
    "exit_codes",
    "progress_bar",
    "report",
    "run_until_interrupted",
    "set_up_logs",
]

INTERRUPTED = 130
HARD_STOP_S = 10.0  # from being asked to stop, whatever hangs

console = Console(stderr=True)
"""People are spoken to on stderr; stdout is for results."""

T = TypeVar("T")


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def set_up_logs() -> None:
    """Send streamsr's log to stderr, secrets left out."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("streamsr")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn foreseen errors into one clear line and the exit code of their kind."""
    try:
        yield
    except StreamsrError as error:
        _fail(redact(error), 2 if isinstance(error, UserError) else 1)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


def _fail(message: str, code: int) -> NoReturn:
    console.print(f"streamsr: {message}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def run_until_interrupted(
    work: Callable[[], Awaitable[T]], stop: Callable[[], Awaitable[None] | None]
) -> tuple[T, int]:
    """Run ``work``; SIGINT or SIGTERM asks it to ``stop``, a second one ends the process.

    Gives its result, and the exit code: 130 after SIGINT, else 0.
    """

    async def main() -> tuple[T, int]:
        loop = asyncio.get_running_loop()
        code = 0
        stopping: asyncio.Task[None] | None = None

        async def ask() -> None:
            if (waiting := stop()) is not None:
                await waiting

        def interrupted(number: int) -> None:
            nonlocal code, stopping
            if stopping is not None:
                os._exit(INTERRUPTED)
            code = INTERRUPTED if number == signal.SIGINT else 0
            loop.call_later(HARD_STOP_S, os._exit, INTERRUPTED)
            stopping = asyncio.create_task(ask(), name="stopping")

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted, number)
        result = await work()
        if stopping is not None:
            await stopping
        return result, code

    return asyncio.run(main())


def progress_bar() -> Progress:
    """A bar with count, share, fps and the time left, gone where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[fps]}"),
        TimeRemainingColumn(),
        console=console,
        transient=False,
        disable=not console.is_terminal,
    )


def report(summaries: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print the run's one summary."""
    if as_json:
        sys.stdout.write(json.dumps({"streams": list(summaries)}) + "\n")
        return
    for s in summaries:
        if not s["input"]:
            console.print(f"{s['name']}: no picture ever came", markup=False, highlight=False)
            continue
        latency = s["latency_ms"]
        p99 = f", latency p99 {latency['p99']:.0f} ms" if latency["p99"] is not None else ""
        console.print(
            f"{s['name']}: {s['frames_out']} frames {s['input']} -> {s['output']} by {s['model']} "
            f"on {s['device']}, {s['fps']:.1f} fps{p99}, {s['frames_dropped']} dropped, "
            f"{s['reconnects']} reconnects",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
