"""What is printed: results, summaries, errors and their exit codes, secrets left out."""

import json

import pytest
import typer

from streamsr.cli.batch.shown import Pace
from streamsr.cli.terminal import command, report, shown_fps
from streamsr.core.errors import ConfigError, SourceError, StreamsrError
from streamsr.core.redact import protect
from streamsr.core.status import StreamState, StreamStatus


@pytest.mark.parametrize(
    ("fps", "shown"),
    [(0.0, "0.0"), (0.01349, "0.013"), (0.5, "0.50"), (9.96, "10.0"), (31.4, "31.4")],
)
def test_a_rate_has_two_significant_digits(fps: float, shown: str) -> None:
    assert shown_fps(fps) == shown


def summary(**changes: object) -> StreamStatus:
    values = {"name": "yard", "state": StreamState.ENDED, "model": "fast", "device": "cpu"}
    return StreamStatus(**values | {"input": "", "output": ""} | changes)  # type: ignore[arg-type]


def raises(error: BaseException) -> None:
    raise error


@pytest.mark.usefixtures("streamsr")  # which takes care of the log
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ConfigError("a: got 1, allowed is 2"), 2, "a: got 1, allowed is 2"),
        (SourceError("rtsp://u:hunter22@cam: refused"), 1, "rtsp://***@cam: refused"),
        (StreamsrError("it failed"), 1, "it failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_foreseen_error_is_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, words: str
) -> None:
    protect("rtsp://u:hunter22@cam")
    with pytest.raises(typer.Exit) as ended:
        command(raises)(error)
    assert ended.value.exit_code == code
    assert capsys.readouterr() == ("", f"streamsr: {words}\n")


@pytest.mark.usefixtures("streamsr")
def test_a_rate_is_of_what_was_made_since_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading before it takes seconds, and what another run had done is no speed of this one."""
    now_s = iter((100.0, 102.0))
    monkeypatch.setattr("streamsr.cli.batch.shown.monotonic", lambda: next(now_s))
    pace = Pace()
    assert pace.at(40)[0] == 0, "nobody knows yet"
    assert pace.at(50) == (10, 2.0)


def test_an_error_that_is_not_foreseen_is_shown_whole() -> None:
    with pytest.raises(ZeroDivisionError):
        command(raises)(ZeroDivisionError())


def test_a_summary_is_an_object_or_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    streams = [
        summary(),
        summary(
            name="gate",
            input="320x180",
            output="1280x720",
            frames_in=51,
            frames_out=50,
            frames_dropped=1,
            fps=25.0,
            latency_p99_ms=41.6,
            reconnects=2,
            time_jumps=3,
            moved=4,
            why="a file can wait",
        ),
    ]
    report(streams, as_json=False)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == (
        "",
        [
            "yard: no frame ever came",
            "gate: 50 frames 320x180 -> 1280x720 by fast on cpu, 25.0 fps, latency p99 42 ms, "
            "1 dropped, 2 reconnects",
            "gate: jumps of the input's time stamps: 3, joined there",
            "gate: time stamps that repeat, fall or stand alone: 4, spread",
            "gate: a file can wait",
        ],
    )
    report(streams, as_json=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert [stream["name"] for stream in json.loads(out)["streams"]] == ["yard", "gate"]
