"""Files that a fleet upscales in parts come out as those that one machine upscales."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from peers.archive import ANSWER_S, Hosts
from soak import figure

WARMED_UP_DB = 45.0  # of what a recurrent network makes, to what it makes in one go
OPTIONS = ("--set", "encoder.gop_s=0.4", "--json")


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    pytest.importorskip("ray")
    with Hosts(2) as running:
        yield running


def upscaled_here(*words: str) -> None:
    """One machine's ``upscale``, whatever its exit code."""
    command = [sys.executable, "-m", "streamsr", "upscale", *words]
    subprocess.run(command, capture_output=True, check=False, timeout=ANSWER_S)


def contents(path: Path) -> list[object]:
    """Every packet of a file."""
    with av.open(str(path)) as container:
        return [
            (p.stream.index, p.pts, p.dts, hashlib.sha256(bytes(p)).hexdigest())
            for p in container.demux()
            if p.size
        ]


@pytest.mark.serial  # it kills tasks at moments of their work
@pytest.mark.timeout(300)
def test_what_hosts_make_whose_tasks_are_killed_is_what_one_machine_makes(
    hosts: Hosts, clip: Callable[..., Path], tmp_path: Path
) -> None:
    given = tmp_path / "in put"
    given.mkdir()
    source = clip(width=160, height=90, seconds=12, gop=30, b_frames=2)
    (given / "a.mp4").write_bytes(source.read_bytes())
    (given / "broken.mp4").write_bytes(b"no video" * 100)
    words = "--model", "fast-small", *OPTIONS
    done = hosts.upscale(
        str(given), str(tmp_path / "fleet"), *words, "--part", "1.2", kills=(0.1, 0.1)
    )
    assert hosts.killed == 2
    assert done.returncode == 1, done.stderr  # for one is broken
    said = json.loads(done.stdout)
    assert said["failed"] == [str(given / "broken.mp4")]
    assert (said["done"], said["frames"]) == (1, 300)
    upscaled_here(str(given), str(tmp_path / "here"), *words)
    assert contents(tmp_path / "fleet/a.mp4") == contents(tmp_path / "here/a.mp4")
    assert not [*(tmp_path / "fleet").glob("*.partial")]


@pytest.mark.parametrize("model", ["fast-small", "bicubic", "fast-camera"])
@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_a_minute_on_three_hosts_through_kills_of_tasks_and_of_the_command(
    model: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    given = tmp_path / "a.mp4"
    given.symlink_to(clip(width=160, height=90, seconds=60, gop=50, b_frames=2))
    words = "--model", model, "--crf", "4", "--json"
    parts = (*words, "--part", "4")
    out = tmp_path / "fleet.mp4"
    commits = tmp_path / "fleet.mp4.partial" / "commits.jsonl"
    with Hosts(3) as three:
        three.upscale_killed_once(
            lambda: commits.exists() and commits.stat().st_size, str(given), str(out), *parts
        )
        assert not out.exists()
        done = three.upscale(str(given), str(out), *parts, kills=(0.2, 0.2))
        assert three.killed == 2
        assert done.returncode == 0, done.stderr
        (told,) = json.loads(done.stdout)["files"]
        assert "goes on after" in done.stderr
        assert 0 < told["upscaled"] < told["frames"] == 1500
    upscaled_here(str(given), str(tmp_path / "here.mp4"), *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "fleet.mp4", "here.mp4"]
    made, whole = frames_of(out), frames_of(tmp_path / "here.mp4")
    alike = [np.array_equal(a, b) for a, b in zip(made, whole, strict=True)]
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(made, whole, strict=True)]
    db = 10 * np.log10(255**2 / max(*errors, 1e-9))
    figure(f"{model}, a minute on three hosts", f"{sum(alike)} of 1500 frames equal, {db:.1f} dB")
    if model == "fast-camera":  # it is warmed up before each part
        assert db > WARMED_UP_DB
    else:
        assert all(alike)
        assert contents(out) == contents(tmp_path / "here.mp4")


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    """The luma of every frame."""
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="gray") for f in container.decode(video=0)]
