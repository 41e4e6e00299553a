"""The log on stderr: events and whatever else happens, as lines for people, journald or programs.

Each process sets its log up once; child processes take over what the first was told, through the
environment.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, get_args

from streamsr.core.events.codes import Severity
from streamsr.core.events.event import Event, iso
from streamsr.core.redact import json_value, redact, redact_stderr

__all__ = [
    "FORMAT",
    "LEVEL",
    "LogFormat",
    "LogLevel",
    "is_json",
    "log_event",
    "log_uncaught",
    "set_up_log",
]

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

LEVEL, FORMAT = "STREAMSR_LOG_LEVEL", "STREAMSR_LOG_FORMAT"  # variables of the environment
LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}
JOURNALD = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""Priorities as sd-daemon(3) has them, which syslog numbers."""

logger = logging.getLogger("streamsr")


def log_event(event: Event) -> None:
    """Logs an event, as severe as its code is."""
    about = f" [{event.subject}]" if event.subject else ""
    level = LEVELS[event.facts.severity]
    text = redact(event.text)
    logger.log(level, "%s%s %s", event.code, about, text, extra={"event": event})


def set_up_log(level: LogLevel | None = None, style: LogFormat | None = None) -> None:
    """Sends the process's log to stderr, secrets left out.

    What is None is as the environment says, else "info" and "text". Where stderr is journald's,
    lines begin with a priority in place of the time.
    """
    level = level or _chosen(LEVEL, get_args(LogLevel), "info")
    style = style or _chosen(FORMAT, get_args(LogFormat), "text")
    os.environ[LEVEL], os.environ[FORMAT] = level, style  # of child processes
    journald = _is_journald()
    redact_stderr()
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(journald) if style == "json" else TextLines(journald))
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.getLogger().handlers = [handler]  # what asyncio and libraries warn of


def is_json() -> bool:
    """Returns whether the log's lines are JSON."""
    return bool(_chosen(FORMAT, get_args(LogFormat), "text") == "json")


def log_uncaught() -> None:
    """Has the process log the exceptions that nobody catches; asyncio logs those of tasks."""
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread


class TextLines(logging.Formatter):
    """``2026-11-30T04:39:19.123+00:00 OUT_DOWN [gate/rtsp-1] refused; tried again every 2 s``."""

    def __init__(self, journald: bool) -> None:
        super().__init__()
        self._journald = journald

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        if not hasattr(record, "event"):  # a code says how severe it is
            text = f"{record.levelname} {text}"
        if self._journald:
            return _prioritised(record, text)
        when = datetime.fromtimestamp(record.created, UTC).astimezone()
        return f"{when.isoformat(timespec='milliseconds')} {text}"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, journald: bool) -> None:
        super().__init__()
        self._journald = journald

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": iso(when),
            "severity": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        event = getattr(record, "event", None)
        if isinstance(event, Event):
            line = event.as_json(when)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(json_value(line), ensure_ascii=False)
        return _prioritised(record, text) if self._journald else text


def _prioritised(record: logging.LogRecord, text: str) -> str:
    """``text`` as journald takes it: each line with its priority before it."""
    priority = JOURNALD.get(record.levelno, 3)
    return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


def _chosen(variable: str, allowed: Sequence[Any], default: Any) -> Any:
    """What the environment says, where that is allowed."""
    value = os.environ.get(variable, default)
    return value if value in allowed else default


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.error("uncaught", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "a thread"
    found = args.exc_type, args.exc_value, args.exc_traceback
    logger.error("uncaught in %s", name, exc_info=found)


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        found = args.exc_type, args.exc_value, args.exc_traceback
        logger.error("%s", args.err_msg or "ignored", exc_info=found)


def _is_journald() -> bool:
    """Whether stderr is a stream of systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or replaced by what is no file
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
