"""The log's lines, as a process writes them on stderr."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (.*)")
SET_UP = """
import asyncio, gc, logging, threading
from streamsr.core.events import Code, Event
from streamsr.core.events.log import log_event, log_uncaught, set_up_log
set_up_log({level!r}, {style!r})
log_uncaught()
"""
EVENTS = """
log_event(Event(Code.OUT_UP, "gate", "up", "rtsp-1"))
log_event(Event(Code.OUT_DOWN, "gate", "rtsp://me:canary@cam/x: refused", "rtsp-1", "tried again"))
log_event(Event(Code.SRC_AUTH, "yard", "it refuses"))
logging.getLogger("streamsr.x").debug("in detail")
logging.getLogger("aiolib").info("chatter")
logging.getLogger("aiolib").warning("odd")
"""
UNCAUGHT = """
def fail():
    raise ValueError("rtsp://me:canary@cam/x")
thread = threading.Thread(target=fail, name="reader")
thread.start()
thread.join()
async def main():
    asyncio.create_task(asyncio.to_thread(fail), name="watcher")
    await asyncio.sleep(0.2)
    gc.collect()
asyncio.run(main())
fail()
"""


def lines(
    tmp_path: Path,
    script: str,
    level: str | None = None,
    style: str | None = None,
    *,
    journald: bool = False,
    **variables: str,
) -> list[str]:
    """The lines that a process writes which sets its log up so."""
    path = tmp_path / "log"
    with path.open("wb") as log:
        stream = os.fstat(log.fileno())
        if journald:
            variables["JOURNAL_STREAM"] = f"{stream.st_dev}:{stream.st_ino}"
        subprocess.run(
            [sys.executable, "-c", SET_UP.format(level=level, style=style) + script],
            stderr=log,
            env=os.environ | variables,
            timeout=60,
            check=False,
        )
    text = path.read_text()
    assert "canary" not in text
    return text.splitlines()


def test_lines_have_a_date_with_its_offset_and_the_severity_by_the_code(tmp_path: Path) -> None:
    matches = [DATED.fullmatch(line) for line in lines(tmp_path, EVENTS, TZ="Asia/Kolkata")]
    assert [match and match.group(1) for match in matches] == [
        "OUT_UP [gate/rtsp-1] up",
        "OUT_DOWN [gate/rtsp-1] rtsp://***@cam/x: refused; tried again",
        "SRC_AUTH [yard] it refuses",
        "WARNING odd",
    ]
    assert "+05:30" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("level", "count"), [("debug", 5), ("info", 4), ("warning", 3), ("error", 2)]
)
def test_the_level_decides_which_events_there_are(tmp_path: Path, level: str, count: int) -> None:
    found = lines(tmp_path, EVENTS, level)
    assert len(found) == count
    assert lines(tmp_path, EVENTS, STREAMSR_LOG_LEVEL=level)[0][24:] == found[0][24:]


def test_lines_for_the_journal_begin_with_their_priority(tmp_path: Path) -> None:
    assert lines(tmp_path, EVENTS, journald=True) == [
        "<6>OUT_UP [gate/rtsp-1] up",
        "<4>OUT_DOWN [gate/rtsp-1] rtsp://***@cam/x: refused; tried again",
        "<3>SRC_AUTH [yard] it refuses",
        "<4>WARNING odd",
    ]
    assert lines(tmp_path, EVENTS, JOURNAL_STREAM="8:1234")[0].startswith("20")


def test_lines_of_json_have_what_an_event_has(tmp_path: Path) -> None:
    found = [json.loads(line) for line in lines(tmp_path, EVENTS, style="json")]
    assert found[1].pop("time").endswith("Z")
    assert found[1] == {
        "code": "OUT_DOWN",
        "severity": "warning",
        "subject": "gate/rtsp-1",
        "message": "rtsp://***@cam/x: refused; tried again",
        "doing": "tried again",
    }
    assert (found[-1]["severity"], found[-1]["logger"]) == ("warning", "aiolib")


@pytest.mark.parametrize("journald", [False, True])
def test_what_nobody_catches_is_logged_whole_and_without_secrets(
    tmp_path: Path, journald: bool
) -> None:
    found = lines(tmp_path, UNCAUGHT, journald=journald)
    for words in ("uncaught in reader", "Task exception was never retrieved", "ERROR uncaught"):
        assert [line for line in found if words in line], words
    assert sum("ValueError: rtsp://***@cam/x" in line for line in found) == 3
    assert all(line.startswith("<3>") for line in found) is journald
    as_json = [json.loads(line) for line in lines(tmp_path, UNCAUGHT, style="json")]
    assert all("Traceback" in line["exception"] for line in as_json)
    assert len(as_json) == 3
