"""What an actor's process logs, and where: not where Ray keeps and shows it."""

import os
import subprocess
import sys
from pathlib import Path

ADDRESS = "rtsp://10.0.0.5:554/axis-media/media.amp"
SCRIPT = f"""
import logging, os, subprocess, sys
from streamsr.fleet.cluster.actors import begin_actor
begin_actor("yard/1")
logging.getLogger("streamsr").warning("logged {ADDRESS}")
print("printed {ADDRESS}", flush=True)
os.write(2, b"by a library {ADDRESS}\\n")
subprocess.run([sys.executable, "-c", "import sys; print('by a child {ADDRESS}', file=sys.stderr)"])
raise ValueError("{ADDRESS}")
"""


def began(state: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_STATE_HOME": state, "STATE_DIRECTORY": ""}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_actor_logs_to_a_file_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    done = began(str(tmp_path))
    path = tmp_path / "streamsr" / "fleet" / "yard-1.log"
    assert done.stdout + done.stderr == f"streamsr: the log of yard/1 is {path}\n"
    text = path.read_text()
    for what in ("logged", "printed", "by a library", "by a child", "ValueError"):
        assert what in text
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_actor_that_can_write_nowhere_shows_no_address(tmp_path: Path) -> None:
    (tmp_path / "streamsr").write_text("no folder")
    done = began(str(tmp_path))
    assert "there is no log of yard/1" in done.stderr
    assert "10.0.0.5" not in done.stdout + done.stderr
