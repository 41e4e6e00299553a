"""What users write passes mypy as it is strict: the pages' examples, and packages of plugins."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugins.distributions import NETWORK, SINK, SOURCE

ROOT = Path(__file__).parents[2]
HELD = """
import levels, sensors, doubling
import streamsr

source: streamsr.Source = sensors.Sensor("mysensor://1")
sink: streamsr.Sink = levels.Levels("levels:///tmp/x")
network: streamsr.Network = doubling.Twice()
streamsr.register_source("mysensor", sensors.Sensor)
streamsr.register_sink("levels", levels.Levels).remove()
streamsr.register_network("twice", doubling.Twice)
"""
WRONG = """
import streamsr


class Mute:
    rate = 25

    def frames(self) -> list[int]:
        return []


class Deaf:
    def write(self, image: bytes) -> None: ...


streamsr.register_source("mute", lambda address: Mute())
streamsr.register_sink("deaf", lambda address: Deaf())
event: int = streamsr.Event(streamsr.Code.SRC_UP, "", "")
"""


def mypy(*paths: Path) -> subprocess.CompletedProcess[str]:
    cache = ROOT / ".mypy_cache"
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", *map(str, paths)],
        cwd=paths[0].parent,
        env={"MYPYPATH": str(paths[0].parent), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(300)
def test_code_of_users_passes_mypy_strict(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, re.S)
    files = {f"snippet{number}": text for number, text in enumerate(snippets)}
    files |= {"sensors": SOURCE, "levels": SINK, "doubling": NETWORK, "held": HELD}
    paths = [tmp_path / f"{name}.py" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    done = mypy(*paths)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(snippets) >= 4


@pytest.mark.timeout(300)
def test_code_that_breaks_a_contract_does_not(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    done = mypy(tmp_path / "wrong.py")
    assert done.returncode == 1
    lines = {int(line) for line in re.findall(r"wrong\.py:(\d+): error", done.stdout)}
    assert len(lines) == 3, done.stdout
