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
from peers.archive import Hosts

OPTIONS = ("--set", "encoder.gop_s=0.4", "--json")
WARMED_UP_DB = 55.0  # of what a recurrent network makes, to what it makes in one go


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    pytest.importorskip("ray")
    with Hosts(2) as running:
        yield running


def upscaled_here(*words: str) -> None:
    """One machine's ``upscale``, whatever its exit code."""
    command = [sys.executable, "-m", "streamsr", "upscale", *words]
    subprocess.run(command, capture_output=True, check=False, timeout=100)


def contents(path: Path) -> list[object]:
    """Every packet of a file."""
    with av.open(str(path)) as container:
        return [
            (p.stream.index, p.pts, p.dts, hashlib.sha256(bytes(p)).hexdigest())
            for p in container.demux()
            if p.size
        ]


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


@pytest.mark.timeout(300)
def test_what_hosts_make_whose_tasks_are_killed_is_what_one_machine_makes(
    hosts: Hosts, clip: Callable[..., Path], tmp_path: Path
) -> None:
    given = tmp_path / "in put"
    given.mkdir()
    source = clip(width=160, height=90, seconds=4, gop=30, b_frames=2)
    (given / "a.mp4").write_bytes(source.read_bytes())
    (given / "broken.mp4").write_bytes(b"no video" * 100)
    words = "--model", "fast-small", *OPTIONS
    done = hosts.upscale(
        str(given), str(tmp_path / "fleet"), *words, "--part", "0.8", kills=(0.1, 0.1)
    )
    assert hosts.killed == 2
    assert done.returncode == 1, done.stderr  # for one is broken
    said = json.loads(done.stdout)
    assert said["failed"] == [str(given / "broken.mp4")]
    assert (said["done"], said["frames"]) == (1, 100)
    upscaled_here(str(given), str(tmp_path / "here"), *words)
    assert contents(tmp_path / "fleet/a.mp4") == contents(tmp_path / "here/a.mp4")
    assert not [*(tmp_path / "fleet").glob("*.partial")]


@pytest.mark.timeout(300)
def test_a_recurrent_network_is_warmed_up_and_a_killed_driver_goes_on(
    hosts: Hosts, clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = clip(width=160, height=90, seconds=4, gop=30, b_frames=2)
    out, here = tmp_path / "fleet" / "a.mp4", tmp_path / "here"
    words = "--model", "fast-camera", "--crf", "1", *OPTIONS
    command = str(source), str(out), *words, "--part", "0.8"
    commits = out.with_name("a.mp4.partial") / "commits.jsonl"
    hosts.upscale_killed_once(lambda: commits.exists() and commits.stat().st_size > 0, *command)
    assert not out.exists()
    done = hosts.upscale(*command)
    assert done.returncode == 0, done.stderr
    assert "goes on after" in done.stderr
    assert 0 < json.loads(done.stdout)["frames"] < 100
    given = tmp_path / "given"
    given.mkdir()
    (given / "a.mp4").symlink_to(source)
    upscaled_here(str(given), str(here), *words)
    made, whole = frames_of(out), frames_of(here / "a.mp4")
    assert made.shape == whole.shape
    error = np.square(made.astype(np.float64) - whole).mean((1, 2))
    assert np.all(error[:20] == 0)  # the first part
    assert 10 * np.log10(255**2 / max(error.max(), 1e-9)) > WARMED_UP_DB
