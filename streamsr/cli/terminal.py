"""What people and programs read: the log, the progress bar, results, and exit codes."""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, ParamSpec, cast

import typer
from rich.console import Console, RenderableType
from rich.progress import MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.events.log import FORMAT, LEVEL, LogFormat, LogLevel, is_json, set_up_log
from streamsr.core.files import keep_in_memory
from streamsr.core.redact import redact
from streamsr.core.status import StreamStatus
from streamsr.media.addresses import CONTROL, OVERWRITE

__all__ = [
    "INTERRUPTED",
    "Lines",
    "MadeFile",
    "command",
    "facts_table",
    "print_result",
    "progress_bar",
    "report",
    "say",
    "shown_fps",
    "shown_name",
]

INTERRUPTED = 130  # the exit code after SIGINT
LINES_S = 10.0  # between two lines of progress

P = ParamSpec("P")

console = Console(stderr=True)
"""Messages go to stderr; stdout is for results."""


Level = Annotated[
    LogLevel | None,
    typer.Option("--log-level", envvar=LEVEL, help="Of the log on stderr; else info."),
]
Format = Annotated[
    LogFormat | None,
    typer.Option("--log-format", envvar=FORMAT, help="Of the log's lines; else text."),
]


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Gives a command the log and its options; foreseen errors become a line and an exit code."""

    own = signature(function)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        level, style = kwargs.pop("log_level", None), kwargs.pop("log_format", None)
        set_up_log(cast("LogLevel | None", level), cast("LogFormat | None", style))
        keep_in_memory()
        try:
            function(*args, **kwargs)
        except StreamsrError as error:
            told = redact(error)
            if "overwrite" in own.parameters:
                told = told.replace(OVERWRITE, "--overwrite")
            say(f"streamsr: {told}", logging.ERROR)
            raise typer.Exit(2 if isinstance(error, UserError) else 1) from None
        except KeyboardInterrupt:
            say("streamsr: interrupted")
            raise typer.Exit(INTERRUPTED) from None

    options = {"log_level": Level, "log_format": Format}
    more = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    ]
    described = cast("Any", run)  # this is what typer reads
    described.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])
    described.__annotations__ = function.__annotations__ | options
    return run


def say(message: str, level: int = logging.INFO) -> None:
    """Prints a line on stderr as it is; where the log is lines of JSON, it is one of them."""
    if is_json():
        logging.getLogger("streamsr").log(level, "%s", message)
        return
    console.print(shown_name(message, but="\n\t"), markup=False, highlight=False, soft_wrap=True)


def shown_name(name: str, but: str = "") -> str:
    """Returns a name on one line: what would steer a terminal is shown by its number."""
    return CONTROL.sub(lambda one: one[0] if one[0] in but else f"\\x{ord(one[0]):02x}", name)


def print_result(
    result: Any, table: RenderableType | None, as_json: bool, *, to_stderr: bool = False
) -> None:
    """Prints on stdout the result as JSON, or the table where there is one."""
    if as_json:
        stream = sys.stderr if to_stderr else sys.stdout
        stream.write(json.dumps(result) + "\n")
        stream.flush()  # whoever reads it may be gone, which is an error here and now
    elif table is not None:
        Console().print(table, crop=False)  # a command to be copied is whole


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file, or a folder of images, that was made of one that can wait."""

    path: Path
    elapsed_s: float
    upscaled: int | None = None  # frames, by this run; None: all of them
    damage: Sequence[str] = ()  # of the source, where that is known

    @property
    def bytes(self) -> int:
        """Its size; 0 where it is not there."""
        try:
            if self.path.is_dir():
                return sum(one.stat().st_size for one in self.path.iterdir())
            return self.path.stat().st_size
        except OSError:
            return 0

    def to_json(self) -> dict[str, object]:
        """What ``--json`` adds."""
        more = {} if self.upscaled is None else {"upscaled": self.upscaled}
        return {
            "path": str(self.path),
            "elapsed_s": round(self.elapsed_s, 2),
            "bytes": self.bytes,
            "damage": list(self.damage),
            **more,
        }

    def told(self, made: StreamStatus) -> str:
        """Says what has come of it, for people."""
        return (
            f"{self.path}: {made.frames_out} frames {made.input} -> {made.output} by {made.model} "
            f"on {made.device}, {size_text(self.bytes)}, in {time_text(self.elapsed_s)} "
            f"({shown_fps(made.fps)} fps)"
        )


def report(
    summaries: Sequence[StreamStatus],
    as_json: bool,
    *,
    to_stderr: bool = False,
    made: MadeFile | None = None,
) -> None:
    """Prints what the streams of a run came to: JSON on stdout, or lines on stderr.

    ``to_stderr``: JSON too, since the video goes to stdout. ``made``: what a lone one has made.
    """
    if as_json:
        more = {} if made is None else made.to_json()
        streams = [summary.to_json() | more for summary in summaries]
        print_result({"streams": streams}, None, as_json, to_stderr=to_stderr)
        return
    for s in summaries:
        if not s.input:
            say(f"{s.name}: no frame ever came")
            continue
        say(_told_live(s) if made is None else made.told(s))
        if s.time_jumps:
            say(f"{s.name}: jumps of the input's time stamps: {s.time_jumps}, joined there")
        if s.encoder_faults:
            say(f"{s.name}: an encoder failed and was begun again: {s.encoder_faults} times")
        if s.moved:
            say(f"{s.name}: time stamps that repeat, fall or stand alone: {s.moved}, spread")
        if s.audio_dropped:
            say(f"{s.name}: {s.audio_dropped} pieces of audio dropped")
        if s.not_kept:
            say(f"{s.name}: not kept: {'; '.join(s.not_kept)}")
        if s.why:
            say(f"{s.name}: {s.why}")


def shown_fps(fps: float) -> str:
    """Returns frames a second with two significant digits at least."""
    return f"{fps:.1f}" if fps >= 1 or fps == 0 else f"{fps:#.2g}"


def _told_live(s: StreamStatus) -> str:
    """A stream in a line."""
    p99 = "" if s.latency_p99_ms is None else f", latency p99 {s.latency_p99_ms:.0f} ms"
    return (
        f"{s.name}: {s.frames_out} frames {s.input} -> {s.output} by {s.model} on {s.device}, "
        f"{shown_fps(s.fps)} fps{p99}, {s.frames_dropped} dropped, {s.reconnects} reconnects"
    )


def facts_table(facts: Mapping[str, str]) -> Table:
    """Returns a table of one fact a line, those that are empty left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, "bold"), Text(value))
    return table


class Lines:
    """Progress where stderr is no terminal: a line now and then, none where there are bars."""

    def __init__(self) -> None:
        self._next_s = monotonic() + LINES_S

    def now_and_then(self, line: str) -> None:
        """Prints a line, unless there was one a short while ago."""
        now_s = monotonic()
        if now_s >= self._next_s and not console.is_terminal:
            self._next_s = now_s + LINES_S
            say(line)


def time_text(seconds: float) -> str:
    """Returns "0:01:32", or "4.2 s" of less than a minute."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def size_text(count: int) -> str:
    """Returns bytes as people say them: "3.2 MB"."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def progress_bar() -> Progress:
    """Returns a bar with count, share, fps and the time left; none where stderr is no terminal."""
    return Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]}"),
        console=console,
        disable=not console.is_terminal,
    )
