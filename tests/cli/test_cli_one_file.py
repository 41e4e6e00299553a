"""``upscale`` of one file into one: killed it goes on, and comes out as in one go, by any way."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

from streamsr.files.half_done import open_alone

if TYPE_CHECKING:
    from conftest import Started, Streamsr

OPTIONS = ("--model", "bicubic", "--device", "cpu", "--set", "encoder.gop_s=0.4")


def commits_in(half_done: Path) -> int:
    """How many segments are whole."""
    path = half_done / "commits.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def killed_at(process: "subprocess.Popen[str]", half_done: Path, segments: int) -> None:
    """Kills a program once so many segments are whole."""
    deadline_s = monotonic() + 60
    while commits_in(half_done) < segments:
        assert process.poll() is None, process.communicate()[1]
        assert monotonic() < deadline_s, "nothing is begun"
        sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def source(clip: Callable[..., Path]) -> Path:
    return clip(width=96, height=64, seconds=4, gop=30, b_frames=2)


def test_killed_and_begun_again_it_is_what_a_batch_makes_and_nothing_else_is_left(
    source: Path, started: "Started", streamsr: "Streamsr", tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    out = tmp_path / "one" / "out.mp4"
    half_done = tmp_path / "one" / "out.mp4.partial"
    with started("upscale", source, out, *OPTIONS) as process:
        killed_at(process, half_done, 3)
    assert not out.exists()
    done = streamsr("upscale", source, out, *OPTIONS, "--json")
    assert done.exit_code == 0, done.stderr
    (summary,) = json.loads(done.stdout)["streams"]
    assert f"{out}: goes on after " in done.stderr
    assert (summary["frames_out"], summary["path"]) == (100, str(out))
    assert 0 < summary["upscaled"] <= 70
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]
    streamsr("upscale", source, f"{tmp_path}/many/", *OPTIONS)
    assert out.read_bytes() == (tmp_path / "many" / source.name).read_bytes()


def test_stopped_it_says_so_and_goes_on(
    source: Path, started: "Started", streamsr: "Streamsr", tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    with started("upscale", source, out, *OPTIONS, "--json") as process:
        deadline_s = monotonic() + 60
        while not commits_in(tmp_path / "out.mp4.partial"):
            assert monotonic() < deadline_s
            sleep(0.005)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    (summary,) = json.loads(stdout)["streams"]
    assert 0 < summary["frames_out"] < 100
    assert "the same command goes on there" in stderr
    done = streamsr("upscale", source, out, *OPTIONS)
    assert done.exit_code == 0, done.stderr
    assert f"{out}: 100 frames" in done.stderr
    again = streamsr("upscale", source, out, *OPTIONS)
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)


def test_two_programs_never_make_one_output(
    source: Path, streamsr: "Streamsr", tmp_path: Path
) -> None:
    first = tmp_path / "out.mp4.partial" / "video.packets"
    with open_alone(first):
        refused = streamsr("upscale", source, tmp_path / "out.mp4", *OPTIONS)
        assert refused.exit_code == 2
        assert "another streamsr works there" in refused.stderr
        beside = streamsr("upscale", source, tmp_path / "b.mp4", *OPTIONS, "--frames", 5)
        assert beside.exit_code == 0, beside.stderr
    done = streamsr("upscale", source, tmp_path / "out.mp4", *OPTIONS, "--frames", 5)
    assert done.exit_code == 0, done.stderr
