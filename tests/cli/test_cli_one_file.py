"""``upscale`` of one file into one: killed it goes on, and comes out as in one go, by any way."""

import errno
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import av
import cv2
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
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def refused(*arguments: object) -> None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


@pytest.mark.parametrize("attributes", ["kept", "refused by the file system", "not in this Python"])
@pytest.mark.parametrize("output", ["out.mp4", "out"])
def test_what_is_done_is_not_made_again(
    attributes: str,
    output: str,
    source: Path,
    streamsr: "Streamsr",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("setxattr", "getxattr") if attributes != "kept" else ():
        if "refused" in attributes:
            monkeypatch.setattr(os, name, refused)
        else:
            monkeypatch.delattr(os, name)
    out = tmp_path / output
    short = ("upscale", source, out, *OPTIONS, "--frames")
    assert streamsr(*short, 3).exit_code == 0
    first = out / "frame_000001.png" if out.is_dir() else out
    made = first.stat()
    again = streamsr(*short, 3, "--json")
    (summary,) = json.loads(again.stdout)["streams"]
    assert (again.exit_code, summary["upscaled"], summary["frames_out"]) == (0, 0, 3)
    assert f"{out}: it is done already" in again.stderr
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    other = streamsr(*short, 4)
    assert other.exit_code == 2
    assert "was made otherwise: frames was 3, is 4; --overwrite makes it again" in other.stderr
    done = streamsr(*short, 4, "--overwrite", "--json")
    assert json.loads(done.stdout)["streams"][0]["upscaled"] == 4
    beside = [] if attributes == "kept" else [f".{output}.streamsr"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*beside, output]


def spoilt(source: Path, path: Path) -> Path:
    """The same, the data of frame 40 gone."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        hit = [packet for packet in container.demux(video=0) if packet.size][40]
    assert hit.pos is not None
    data[hit.pos : hit.pos + hit.size] = bytes([255]) * hit.size
    path.write_bytes(data)
    return path


def test_of_a_damaged_file_what_is_left_is_made_and_the_exit_code_is_1_however_it_is_made(
    source: Path, streamsr: "Streamsr", started: "Started", tmp_path: Path
) -> None:
    damaged, out = spoilt(source, tmp_path / "hit.mp4"), tmp_path / "out.mp4"
    for said in ("out.mp4: ", "it is done already"):
        done = streamsr("upscale", damaged, out, *OPTIONS)
        assert (done.exit_code, said in done.stderr) == (1, True), done.stderr
        assert "1 damaged packets left out" in done.stderr
    many = streamsr("upscale", damaged, f"{tmp_path}/many/", *OPTIONS)
    assert (many.exit_code, "1 damaged packets left out" in many.stderr) == (1, True)
    piped = tmp_path / "piped.mkv"
    with (
        damaged.open("rb") as read,
        started("upscale", "-", piped, *OPTIONS, stdin=read) as process,
    ):
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, "1 damaged packets left out" in stderr) == (1, True), stderr
    assert piped.exists()
    assert out.exists()
    (tmp_path / "no.mp4").write_bytes(b"no video" * 100)
    assert streamsr("upscale", tmp_path / "no.mp4", tmp_path / "no.mkv", *OPTIONS).exit_code == 2


@pytest.mark.parametrize("output", ["out.mp4", "out"])
def test_what_others_wrote_is_theirs(
    output: str, source: Path, streamsr: "Streamsr", tmp_path: Path
) -> None:
    out = tmp_path / output
    short = ("upscale", source, out, *OPTIONS, "--frames", 3)
    assert streamsr(*short).exit_code == 0
    (out if out.is_file() else out / "frame_000009.png").write_bytes(b"mine")
    refused = streamsr(*short)
    assert (refused.exit_code, "--overwrite replaces" in refused.stderr) == (2, True)
    (out if out.is_file() else out / "notes.txt").write_bytes(b"mine")
    assert streamsr(*short, "--overwrite").exit_code == 0
    if out.is_dir():
        names = [*(f"frame_{number:06d}.png" for number in (1, 2, 3)), "notes.txt"]
        assert sorted(path.name for path in out.iterdir()) == names


def images_of(source: Path, folder: Path) -> Path:
    folder.mkdir()
    with av.open(str(source)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            cv2.imwrite(str(folder / f"f{number}.png"), frame.to_ndarray(format="bgr24"))
    return folder


@pytest.mark.parametrize("case", ["video to images", "images to images", "images to video"])
def test_images_go_on_too(
    case: str, source: Path, started: "Started", streamsr: "Streamsr", tmp_path: Path
) -> None:
    given, _, made = case.partition(" to ")
    audio = ("--audio-from", source) if made == "video" else ()
    name = "out.mkv" if made == "video" else "out"
    what = source if given == "video" else images_of(source, tmp_path / "in")
    arguments = (*OPTIONS, *audio)
    (tmp_path / "whole").mkdir()
    streamsr("upscale", what, tmp_path / "whole" / name, *arguments)
    out = tmp_path / "killed" / name
    half_done = out.with_name("out.mkv.partial") if made == "video" else out / ".partial"
    out.parent.mkdir()
    if made == "images":  # what else is there stays
        out.mkdir()
        (out / "notes.txt").write_text("mine", encoding="utf-8")
    with started("upscale", what, out, *arguments) as process:
        killed_at(process, half_done, 4)
    done = streamsr("upscale", what, out, *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    (summary,) = json.loads(done.stdout)["streams"]
    assert f"{out}: goes on after " in done.stderr
    assert summary["upscaled"] <= 60
    if made == "images":
        (out / "notes.txt").unlink()
    assert contents(out) == contents(tmp_path / "whole" / name)
    assert [path.name for path in out.parent.iterdir()] == [name]


def contents(path: Path) -> list[tuple[str, bytes]]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [(one.name, one.read_bytes()) for one in files]


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
