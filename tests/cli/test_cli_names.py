"""Files whatever they are called, and streams that are no files: stdin, stdout, named pipes."""

import json
import os
import select
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import av
import pytest
from peers.clip import camera_clip, number_in

if TYPE_CHECKING:
    from conftest import Started, Streamsr

LATIN_1 = os.fsdecode(b"caf\xe9.mp4")
NAMES = [
    *("22:15:09.mp4", "-x.mp4", "--size.mp4", LATIN_1, "a b%d.mp4", "frame%03d.mp4", "*.mp4"),
    *("concat:a|b.mp4", "file:a.mp4", "pipe:1.mp4", "http:x.mp4", "a#b?c&d'e\".mp4", "日本.mp4"),
]
BICUBIC = ("--model", "bicubic", "--device", "cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``small(".ts")``: half a second of 160x90 in that container."""
    folder = tmp_path_factory.mktemp("small")

    def make(suffix: str) -> Path:
        path = folder / f"clip{suffix}"
        if not path.exists():
            camera_clip(path, width=160, height=90, seconds=0.6, crf=30)
        return path

    return make


def frames_of(file: Any) -> list[int | None]:
    with av.open(file) as container:
        return [number_in(frame) for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_and_written_whatever_it_is_called(
    name: str, small: Callable[..., Path], streamsr: "Streamsr", tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    shutil.copy(small(".mp4"), tmp_path / name)
    monkeypatch.chdir(tmp_path / "in")
    shutil.copy(small(".mp4"), name)
    done = streamsr("upscale", name, "plain.mp4", *BICUBIC, "--frames", "3")
    assert done.exit_code == 0, done.stderr
    done = streamsr("upscale", "plain.mp4", name, *BICUBIC, "--overwrite", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["streams"][0]["frames_out"] == 3
    assert sorted(os.listdir()) == sorted([name, "plain.mp4"])
    with open(name, "rb") as written:
        assert frames_of(written) == [0, 1, 2]


def test_a_misspelt_option_is_none_of_them(streamsr: "Streamsr", tmp_path: Path) -> None:
    done = streamsr("upscale", "demo", tmp_path / "o.mp4", "--overwrit")
    assert done.exit_code == 2
    assert "--overwrite" in done.output


def test_what_is_said_of_an_odd_name_can_be_read(
    small: Callable[..., Path], streamsr: "Streamsr", tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(small(".mp4"), LATIN_1)
    done = streamsr("probe", LATIN_1, *BICUBIC, "--json")
    assert json.loads(done.stdout)["input"] == r"caf\xe9.mp4"
    os.remove(LATIN_1)
    assert r"caf\xe9.mp4: there is no such file" in streamsr("probe", LATIN_1).stderr


def test_a_name_that_no_line_can_hold_fails_alone_and_is_one_line(
    small: Callable[..., Path], streamsr: "Streamsr", tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a\nb\x1b[2J.mp4", "z.mp4"):
        shutil.copy(small(".mp4"), tmp_path / "in" / name)
    done = streamsr("upscale", "in", "out", *BICUBIC, "--frames", "3")
    assert done.exit_code == 1
    assert "1 of 2 files done" in done.stderr
    assert "\x1b" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert r"in/a\x0ab\x1b[2J.mp4: " in line
    assert "got control characters in its name" in line
    for given in (("in/a\nb\x1b[2J.mp4", "o.mp4"), ("in/z.mp4", "o\t.mp4"), ("in", "o\n")):
        refused = streamsr("upscale", *given, *BICUBIC)
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert "got control characters in its name" in refused.stderr


@pytest.mark.parametrize("suffix", [".ts", ".mkv", "fragmented.mp4"])
def test_stdin_to_stdout(
    suffix: str, small: Callable[..., Path], started: "Started", tmp_path: Path
) -> None:
    clip = small(suffix.removeprefix("fragmented"))
    if suffix.startswith("fragmented"):
        clip = fragmented(clip, tmp_path / "fragmented.mp4")
    with (
        subprocess.Popen(["cat", clip], stdout=subprocess.PIPE) as cat,
        started("upscale", "-", "-", *BICUBIC, "--json", stdin=cat.stdout, text=False) as process,
    ):
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    (tmp_path / "o.mkv").write_bytes(out)
    assert frames_of(tmp_path / "o.mkv") == list(range(15))
    assert json.loads(said.splitlines()[-1])["streams"][0]["frames_out"] == 15
    with av.open(tmp_path / "o.mkv") as container:
        assert container.format.name == "matroska,webm"
        assert container.streams.audio


def test_stdin_that_cannot_be_read_in_order_says_what_can(
    started: "Started", tmp_path: Path
) -> None:
    clip = camera_clip(tmp_path / "large.mp4", seconds=1, crf=1)  # more than is kept for a probe
    with (
        subprocess.Popen(["cat", clip], stdout=subprocess.PIPE) as cat,
        started("upscale", "-", tmp_path / "o.mp4", *BICUBIC, stdin=cat.stdout) as process,
    ):
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert "input -: " in said
    assert "Matroska" in said
    assert not (tmp_path / "o.mp4").exists()


def test_a_closed_stdin_is_none(started: "Started", tmp_path: Path) -> None:
    with started("upscale", "-", tmp_path / "o.mp4", preexec_fn=lambda: os.close(0)) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "input -: stdin is closed" in said


def test_a_file_on_stdin_may_be_any(
    small: Callable[..., Path], started: "Started", tmp_path: Path
) -> None:
    with (
        small(".mp4").open("rb") as clip,
        started("upscale", "-", tmp_path / "o.mp4", *BICUBIC, stdin=clip) as process,
    ):
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert frames_of(tmp_path / "o.mp4") == list(range(15))


def test_a_reader_that_leaves_is_said(
    small: Callable[..., Path], started: "Started", tmp_path: Path
) -> None:
    read, write = os.pipe()
    with started("upscale", small(".ts"), "-", *BICUBIC, stdout=write) as process:
        os.close(write)
        os.read(read, 10)
        os.close(read)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "output -: cannot be written: Broken pipe" in said
    assert "Traceback" not in said


def test_named_pipes(small: Callable[..., Path], streamsr: "Streamsr", tmp_path: Path) -> None:
    taken, given = tmp_path / "in.mp4", tmp_path / "out"
    os.mkfifo(taken)
    os.mkfifo(given)
    copy = tmp_path / "o.mkv"

    def write() -> None:
        sleep(0.5)  # it comes later than the reader
        taken.write_bytes(small(".ts").read_bytes())

    ends = [
        threading.Thread(target=write, daemon=True),
        threading.Thread(target=lambda: copy.write_bytes(given.read_bytes()), daemon=True),
    ]
    for end in ends:
        end.start()
    done = streamsr("upscale", taken, given, *BICUBIC)
    for end in ends:
        end.join(10)
    assert done.exit_code == 0, done.stderr
    assert frames_of(copy) == list(range(15))


def test_a_pipe_whose_reader_stalls_does_not_hold_up_a_stop(
    started: "Started", tmp_path: Path
) -> None:
    given = tmp_path / "out.mkv"
    os.mkfifo(given)
    both = os.open(given, os.O_RDWR)  # and it is never read
    with started("upscale", "demo", given, *BICUBIC, "--json") as process:
        while select.select([], [both], [], 0)[1]:
            sleep(0.1)
        process.terminate()
        summary, said = process.communicate(timeout=60)
    os.close(both)
    assert process.returncode == 0, f"by its hard stop: {said}"
    assert "the pipe's reader had not taken" in summary


def test_a_pipe_that_stays_silent_can_be_interrupted(started: "Started", tmp_path: Path) -> None:
    read, write = os.pipe()
    with started("upscale", "-", tmp_path / "o.mp4", *BICUBIC, stdin=read) as process:
        sleep(3)
        process.send_signal(2)
        process.communicate(timeout=8)
    os.close(write)
    assert process.returncode == 130


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_a_file_that_still_grows_is_followed(
    suffix: str, small: Callable[..., Path], streamsr: "Streamsr", tmp_path: Path
) -> None:
    whole = small(suffix)
    if suffix == ".mp4":
        whole = fragmented(whole, tmp_path / "fragmented.mp4")
    data, growing = whole.read_bytes(), tmp_path / f"growing{suffix}"
    growing.write_bytes(data[: len(data) // 2])

    def grow() -> None:
        with growing.open("ab") as file:
            for start in range(len(data) // 2, len(data), len(data) // 6):
                sleep(0.4)
                file.write(data[start : start + len(data) // 6])
                file.flush()

    writer = threading.Thread(target=grow, daemon=True)
    writer.start()
    args = ("--follow", "--set", "input.follow_s=1.5", "--json")
    done = streamsr("upscale", growing, tmp_path / "o.mp4", *BICUBIC, *args)
    writer.join(10)
    assert done.exit_code == 0, done.stderr
    assert frames_of(tmp_path / "o.mp4") == list(range(15))


@pytest.mark.parametrize("command", ["serve -", "upscale - rtsp://127.0.0.1:1/x"])
def test_a_node_has_no_stdin(command: str, streamsr: "Streamsr") -> None:
    done = streamsr(*command.split())
    assert done.exit_code == 2
    assert "allowed is a named pipe" in done.stderr


def test_only_a_file_can_be_followed(streamsr: "Streamsr", tmp_path: Path) -> None:
    done = streamsr("upscale", "demo", tmp_path / "o.mp4", "--follow")
    assert done.exit_code == 2
    assert "input.follow: got demo, allowed is a file that still grows" in done.stderr


def fragmented(clip: Path, path: Path) -> Path:
    """The clip in fragments, as recorders write them."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(clip) as source, av.open(path, "w", options=options) as out:
        copies = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    return path
