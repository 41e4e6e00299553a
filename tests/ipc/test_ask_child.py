"""A child that is asked one thing: its answer, or why there is none, in bounded time."""

from pathlib import Path
from time import monotonic

import pytest

from streamsr.ipc.process import RestartError, ask_child

CHILD = """
import os, signal, sys, time
asked = sys.argv[1]
if asked == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if asked == "hang":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
sys.stdout.write(asked * 100_000)
sys.stderr.write("said")
"""


@pytest.fixture(autouse=True)
def asked_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asked_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_its_answer_is_returned_whole() -> None:
    assert ask_child("asked_child", "yes", 30.0) == ("yes" * 100_000, "said")


@pytest.mark.parametrize(
    ("asked", "limit_s", "why"), [("crash", 30.0, "signal 11"), ("hang", 1.0, "longer than 1 s")]
)
def test_one_that_gives_none_is_said_why(asked: str, limit_s: float, why: str) -> None:
    began_s = monotonic()
    with pytest.raises(RestartError, match=why):
        ask_child("asked_child", asked, limit_s)
    assert monotonic() - began_s < 25
