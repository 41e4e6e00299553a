"""What people and programs read: the log, the progress bar, results, and exit codes."""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import typer
from rich.console import Console, RenderableType
from rich.progress import MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.redact import redact, redact_stderr
from streamsr.core.status import StreamStatus

__all__ = [
    "INTERRUPTED",
    "command",
    "facts_table",
    "print_result",
    "progress_bar",
    "report",
    "say",
]

INTERRUPTED = 130  # the exit code after SIGINT

P = ParamSpec("P")

console = Console(stderr=True)
"""Messages go to stderr; stdout is for results."""


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _set_up_logs() -> None:
    """Sends streamsr's log to stderr, secrets left out."""
    redact_stderr()
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("streamsr")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Gives a command streamsr's log; foreseen errors become one line and an exit code."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _set_up_logs()
        try:
            function(*args, **kwargs)
        except StreamsrError as error:
            say(f"streamsr: {redact(error)}")
            raise typer.Exit(2 if isinstance(error, UserError) else 1) from None
        except KeyboardInterrupt:
            say("streamsr: interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return run


def say(message: str) -> None:
    """Prints a line on stderr as it is."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def print_result(
    result: Any, table: RenderableType | None, as_json: bool, *, to_stderr: bool = False
) -> None:
    """Prints on stdout the result as JSON, or the table where there is one."""
    if as_json:
        stream = sys.stderr if to_stderr else sys.stdout
        stream.write(json.dumps(result) + "\n")
        stream.flush()  # whoever reads it may be gone, which is an error here and now
    elif table is not None:
        Console().print(table)


def report(summaries: Sequence[StreamStatus], as_json: bool, *, to_stderr: bool = False) -> None:
    """Prints what the streams of a run came to: JSON on stdout, or lines on stderr.

    ``to_stderr``: JSON too, since the video goes to stdout.
    """
    if as_json:
        streams = [summary.to_json() for summary in summaries]
        print_result({"streams": streams}, None, as_json, to_stderr=to_stderr)
        return
    for s in summaries:
        if not s.input:
            say(f"{s.name}: no frame ever came")
            continue
        p99 = "" if s.latency_p99_ms is None else f", latency p99 {s.latency_p99_ms:.0f} ms"
        say(
            f"{s.name}: {s.frames_out} frames {s.input} -> {s.output} by {s.model} on {s.device}, "
            f"{s.fps:.1f} fps{p99}, {s.frames_dropped} dropped, {s.reconnects} reconnects"
        )
        if s.time_jumps:
            say(f"{s.name}: jumps of the input's time stamps: {s.time_jumps}, joined there")
        if s.audio_dropped:
            say(f"{s.name}: {s.audio_dropped} pieces of audio dropped")
        if s.not_kept:
            say(f"{s.name}: not kept: {'; '.join(s.not_kept)}")
        if s.why:
            say(f"{s.name}: {s.why}")


def facts_table(facts: Mapping[str, str]) -> Table:
    """Returns a table of one fact a line, those that are empty left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, "bold"), Text(value))
    return table


def progress_bar() -> Progress:
    """Returns a bar with count, share, fps and the time left; none where stderr is no terminal."""
    return Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]}"),
        console=console,
        disable=not console.is_terminal,
    )
