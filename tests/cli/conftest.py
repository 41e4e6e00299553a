"""The command line, in this process and in one of its own."""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streamsr.cli.main import app

PROGRAM = [sys.executable, str(Path(__file__).parents[2] / "run_stream.py")]

Streamsr = Callable[..., Result]
Started = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def streamsr() -> Iterator[Streamsr]:
    """``streamsr(*args)``: runs a command in this process; its exit code and what it printed."""
    logger, hang_up = logging.getLogger("streamsr"), signal.getsignal(signal.SIGHUP)
    before = logger.handlers, logger.level, logger.propagate
    yield lambda *args: CliRunner().invoke(app, [*map(str, args)], catch_exceptions=False)
    logger.handlers, _, logger.propagate = before
    logger.setLevel(before[1])
    signal.signal(signal.SIGHUP, hang_up)


@pytest.fixture
def upscaled(streamsr: Streamsr) -> Callable[..., dict[str, Any]]:
    """``upscaled(*args)``: runs ``upscale`` with bicubic on the CPU; the stream's summary."""

    def run(*args: object) -> dict[str, Any]:
        done = streamsr("upscale", *args, "--model", "bicubic", "--device", "cpu", "--json")
        assert done.exit_code == 0, done.stderr
        (summary,) = json.loads(done.stdout)["streams"]
        return summary

    return run


@pytest.fixture
def started() -> Started:
    """``with started(*args) as process``: a command in a process of its own, killed at the end."""

    @contextmanager
    def start(*args: object, **options: Any) -> Iterator["subprocess.Popen[str]"]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*PROGRAM, *map(str, args)], **pipes | options) as process:
            try:
                yield process
            finally:
                process.kill()

    return start
