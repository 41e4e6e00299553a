"""Temporary folders of processes that were killed are not left for ever."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from streamsr.fleet.own_folder import hand_over, make_own_folder

WAITS = "print(flush=True); input()"


def test_what_a_killed_process_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine, anothers = make_own_folder("fleet-"), make_own_folder("fleet-")
    unknown, not_ours = tmp_path / "fleet-unknown", tmp_path / "other-1"
    for folder in (unknown, not_ours):
        folder.mkdir()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WAITS], **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        hand_over(anothers, process.pid)
        make_own_folder("fleet-")
        assert anothers.exists(), "its process runs"
        process.kill()
    make_own_folder("fleet-")
    assert not anothers.exists()
    assert mine.exists()
    assert unknown.exists()
    assert not_ours.exists()
    (mine / "owner").write_text("1 1 pid:[1]")
    make_own_folder("fleet-")
    assert mine.exists(), "nobody here knows what runs in another container"
