"""The main process is light: what needs a device or a codec is in other processes."""

from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Started

MOST_KB = 120_000
NODE = """
[[streams]]
name = "yard"
input.url = "demo"
model = { name = "bicubic", device = "cpu" }
[streams.record]
folder = "recordings"
segment_s = 1.0
"""


def peak_kb(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def libraries(process_id: int) -> set[str]:
    """The heavy libraries that a process has mapped."""
    maps = Path(f"/proc/{process_id}/maps").read_text()
    marks = {"torch": "/torch/", "numpy": "/numpy/", "av": "/av/", "cv2": "/cv2/"}
    return {name for name, mark in marks.items() if f"site-packages{mark}" in maps}


def wait_for_recordings(folder: Path, count: int) -> None:
    deadline_s = monotonic() + 40
    while len(list(folder.glob("*.mp4"))) < count:
        assert monotonic() < deadline_s, "nothing is recorded"
        sleep(0.05)


@pytest.mark.parametrize(("served", "allowed"), [(False, set()), (True, {"av", "numpy"})])
def test_a_node_that_runs_is_light(
    tmp_path: Path, started: "Started", served: bool, allowed: set[str]
) -> None:
    """WebRTC brings PyAV along: what is served needs it, and no codec runs."""
    serve = '[serve]\nlisten = "127.0.0.1:0"\n' if served else ""
    (tmp_path / "node.toml").write_text(serve + NODE)
    with started("node", "node.toml", cwd=tmp_path) as process:
        wait_for_recordings(tmp_path / "recordings", 2)
        found, memory_kb = libraries(process.pid), peak_kb(process.pid)
        process.terminate()
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr
    assert found <= allowed
    assert memory_kb < MOST_KB
