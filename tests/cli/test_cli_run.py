"""Signals: the first asks for a stop by a deadline, the second ends the process."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from time import monotonic
from unittest.mock import Mock

import pytest
import typer

from streamsr.cli.run import run_here
from streamsr.core.deadline import Deadline
from streamsr.core.settings import PipelineSettings

PROGRAM = """
import asyncio
from streamsr.cli.run import run_until_interrupted

async def main():
    async with asyncio.timeout(30):
        print("running", flush=True)
        await stopped.wait()
    return "done"

def stop(deadline):
    print(f"stop within {{deadline.left_s():.1f}} s", flush=True)
    if {stops}:
        stopped.set()

stopped = asyncio.Event()
print(run_until_interrupted(main, stop, hard_stop_s={hard_stop_s}))
"""


def started(*, stops: bool, hard_stop_s: float = 20.0) -> "subprocess.Popen[str]":
    program = PROGRAM.format(stops=stops, hard_stop_s=hard_stop_s)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_asks_for_a_stop(sent: signal.Signals, code: int) -> None:
    with started(stops=True) as process:
        process.send_signal(sent)
        stdout, stderr = process.communicate(timeout=10)
    assert stdout == f"stop within 5.0 s\n('done', {code})\n", stderr


def test_a_second_signal_ends_the_process() -> None:
    with started(stops=False) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stop within 5.0 s\n"
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=10)
    assert (process.returncode, stdout) == (130, "")


def test_what_does_not_stop_is_ended() -> None:
    with started(stops=False, hard_stop_s=0.3) as process:
        asked_s = monotonic()
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=10)
    assert monotonic() - asked_s >= 0.3
    assert process.returncode == 130
    assert stderr == "streamsr: it has not stopped within 0.3 s: ended\n"


def test_what_runs_here_delivers_within_its_share_of_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Mock()

    def interrupted(work: object, stop: Callable[[Deadline], None]) -> tuple[object, int]:
        stop(Deadline(0.0, 5.0))
        return Mock(to_json=dict), 0

    monkeypatch.setattr("streamsr.pipeline.build.open_pipeline", lambda *_: nullcontext(pipeline))
    monkeypatch.setattr("streamsr.cli.run.run_until_interrupted", interrupted)
    settings = PipelineSettings.model_validate(
        {"name": "x", "input": {"url": "demo"}, "model": {"name": "bicubic"}}
    )
    with pytest.raises(typer.Exit):
        run_here(settings, as_json=True)
    pipeline.stop.assert_called_once_with(Deadline(0.0, 2.0))
