"""``upscale`` of many files: all that can be done is, killed or not, and nothing twice."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import av
import pytest
from soak import figure, soak

from streamsr.files.partial import RECORD

Packets = list[tuple[int, int | None, int | None, str]]


def command(*arguments: object, model: str = "bicubic") -> list[str]:
    whole = [sys.executable, "-m", "streamsr", "upscale", *map(str, arguments)]
    return [*whole, "--model", model]


def run(*arguments: object, model: str = "bicubic") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, model=model), capture_output=True, text=True, timeout=120, check=False
    )


def summary(*arguments: object, model: str = "bicubic") -> dict[str, Any]:
    done = run(*arguments, "--json", model=model)
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"rc": done.returncode, "stderr": done.stderr}


def packets(path: Path) -> Packets:
    """Every packet of a file: its track, its stamps and what is in it."""
    with av.open(str(path)) as container:
        return [
            (p.stream.index, p.pts, p.dts, hashlib.sha256(bytes(p)).hexdigest())
            for p in container.demux()
            if p.size
        ]


def outputs(folder: Path) -> dict[str, Packets]:
    return {
        str(path.relative_to(folder)): packets(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def videos(clip: Callable[..., Path], tmp_path: Path) -> Path:
    """Six files, one of them broken, in a folder and one below it; and what is no video."""
    folder = tmp_path / "my videos"
    (folder / "sub").mkdir(parents=True)
    small = {"width": 96, "height": 64}
    clips = {
        "a.mp4": clip(**small, seconds=5),
        "b.mp4": clip(**small, seconds=4, b_frames=2, gop=250),
        "c.mp4": clip(**small, seconds=3, audio=False),
        "sub/d.mp4": clip(**small, seconds=3, missing=range(10, 20)),
        "sub/a.mp4": clip(**small, seconds=1),
    }
    for name, path in clips.items():
        os.link(path, folder / name)
    (folder / "broken.mp4").write_bytes(bytes(5000))
    (folder / "notes.txt").write_text("none", encoding="utf-8")
    return folder


def test_one_broken_file_is_named_and_the_others_are_done(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(videos, out)
    assert done.returncode == 1
    assert sorted(outputs(out)) == ["a.mp4", "b.mp4", "c.mp4", "sub/a.mp4", "sub/d.mp4"]
    assert "5 of 6 files done" in done.stderr
    assert f"failed: {videos}/broken.mp4: " in done.stderr
    assert f"left out: {videos}/notes.txt" in done.stderr
    assert "\r" not in done.stderr
    assert list(out.rglob("*.partial")) == []
    again = summary(videos, out)
    assert (again["rc"], again["already_done"], again["frames"]) == (1, 5, 0)
    assert again["failed"] == [f"{videos}/broken.mp4"]


@pytest.mark.parametrize(
    ("model", "kills"),
    [
        ("bicubic", 1),
        pytest.param("bicubic", 5, marks=soak(0.3)),
        pytest.param("fast-camera", 5, marks=soak(0.3)),
    ],
)
def test_killed_at_any_moment_it_comes_out_as_in_one_go(
    model: str, kills: int, videos: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(videos, whole, model=model).returncode == 1
    chance = random.Random(1)
    again = []
    for _ in range(kills):
        process = subprocess.Popen(command(videos, killed, model=model), stderr=subprocess.DEVNULL)
        begun = [*killed.rglob("*.packets")]
        deadline_s = monotonic() + 60
        while [*killed.rglob("*.packets")] == begun and process.poll() is None:
            assert monotonic() < deadline_s, "nothing is begun"
            sleep(0.01)
        sleep(chance.uniform(0, 1))  # the moment is what is tried
        process.send_signal(signal.SIGKILL)
        process.wait()
        again.append(sum(map(lost_in, killed.rglob("*.packets"))))
    told = summary(videos, killed, model=model)
    assert told["rc"] == 1
    assert outputs(killed) == outputs(whole)
    assert list(killed.rglob("*.partial")) == []
    assert max(again) <= 50  # a GOP
    figure(f"{model}, killed {kills} times", f"frames that were coded, and are again: {again}")


def lost_in(packets: Path) -> int:
    """How many frames of a half-done file were coded, and are in no whole segment."""
    commits = packets.with_name("commits.jsonl")
    lines = commits.read_bytes().split(b"\n")[:-1] if commits.exists() else []
    at, coded, lost = json.loads(lines[-1])["bytes"] if lines else 0, packets.read_bytes(), 0
    while at + RECORD.size <= len(coded):
        at += RECORD.size + RECORD.unpack_from(coded, at)[3]
        lost += 1
    return lost


def test_two_programs_on_one_folder_make_each_file_once(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    for name in ("a.mp4", "b.mp4"):
        os.link(clip(width=96, height=64, seconds=3), given / name)
    programs = [
        subprocess.Popen(command(given, out), stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [program.communicate(timeout=100)[1] for program in programs]
    codes = [program.returncode for program in programs]
    assert 0 in codes
    for code, told in zip(codes, said, strict=True):
        assert code == 0 or (code == 2 and "another streamsr writes there" in told), told
    assert summary(given, out)["already_done"] == 2
    assert sorted(outputs(out)) == ["a.mp4", "b.mp4"]
    assert list(out.rglob("*.partial")) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rate", "30"], "--rate 30: got videos"),
        (["--labels"], "labels: got true"),
        (["--set", 'sinks=[{url="nosuch://x"}]'], "sinks: got files"),
    ],
)
def test_what_many_files_do_not_use_is_refused_before_anything_is_begun(
    options: list[str], told: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    one = clip(width=32, height=16, seconds=0.2)
    (tmp_path / "b.mp4").symlink_to(one)
    done = run(one, tmp_path / "b.mp4", tmp_path / "out", *options)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "out").exists()


def test_one_file_goes_wherever_its_settings_say(clip: Callable[..., Path], tmp_path: Path) -> None:
    one = clip(width=96, height=64, seconds=1)
    done = run(one, tmp_path / "out.mp4", "--set", f"record.folder={tmp_path}/recorded")
    assert done.returncode == 0, done.stderr
    assert packets(tmp_path / "out.mp4")
    (recorded,) = (tmp_path / "recorded").glob("*.mp4")
    assert packets(recorded)


def test_one_video_goes_into_a_folder_of_videos(clip: Callable[..., Path], tmp_path: Path) -> None:
    one, out = clip(width=32, height=16, seconds=0.2), tmp_path / "out"
    told = summary(one, f"{out}/")
    assert (told["rc"], told["done"]) == (0, 1)
    assert [*outputs(out)] == [one.name]
    assert summary(one, out)["already_done"] == 1  # it holds videos
    images = run(one, tmp_path / "images")
    assert "images: every frame becomes an image there" in images.stderr
    assert len([*(tmp_path / "images").glob("*.png")]) == 5


def test_what_is_half_done_and_of_no_input_is_named(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    left, one = tmp_path / "out/gone.mp4.partial", clip(width=32, height=16, seconds=0.2)
    left.mkdir(parents=True)
    (left / "video.packets").touch()
    (tmp_path / "b.mp4").symlink_to(one)
    done = run(one, tmp_path / "b.mp4", tmp_path / "out")
    assert done.returncode == 0
    assert f"half done, and not gone on with: {left}" in done.stderr
