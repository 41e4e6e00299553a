"""The command line as a user meets it: a process of its own, its exit code and its words."""

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import av
import numpy as np
import pytest
from peers import MuteServer, RtspCamera, RtspServer, read_number, seen

from streamsr.media.files import file_frames
from streamsr.media.images import image_frames, image_names

ROOT = Path(__file__).parents[2]
CLI = [sys.executable, str(ROOT / "run_stream.py")]


def streamsr(*args: object, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *map(str, args)], capture_output=True, text=True, timeout=timeout_s, check=False
    )


def wait_for_bytes(path: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until ``process`` has written so much; kill it where it does not within 30 s."""
    deadline = monotonic() + 30
    while not path.is_file() or path.stat().st_size < count:
        if process.poll() is not None or monotonic() > deadline:
            process.kill()
            pytest.fail(f"{path} has not got {count} bytes, exit code {process.returncode}")
        sleep(0.02)


def upscaled(*args: object) -> dict[str, Any]:
    """Run ``upscale`` with bicubic on the CPU; give the stream's summary."""
    done = streamsr("upscale", *args, "--model", "bicubic", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    (summary,) = json.loads(done.stdout)["streams"]
    return summary


@pytest.fixture
def frames(clip: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder of twelve PNG frames, numbered without leading zeros."""
    folder = tmp_path / "frames"
    done = streamsr(
        "upscale", clip(width=160, height=90), folder, "--model", "bicubic", "--frames", 12
    )
    assert done.returncode == 0, done.stderr
    for number, name in enumerate(image_names(folder)):
        (folder / name).rename(folder / f"f{number}.png")
    return folder


def test_a_file_becomes_a_file_with_its_audio(clip: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    summary = upscaled(clip(), out)
    assert (summary["frames_in"], summary["frames_out"]) == (100, 100)
    assert (summary["input"], summary["output"]) == ("320x180", "1280x720")
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert container.streams.video[0].frames == 100
    assert [read_number(f.planes[0]) for f in file_frames(out)] == list(range(100))


def test_a_folder_becomes_a_folder_of_the_same_names(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = upscaled(frames, out)
    assert summary["frames_out"] == 12
    assert image_names(out) == [f"f{n}.png" for n in range(12)]
    assert [read_number(_luma(f.planes[0])) for f in image_frames(out)] == list(range(12))


def test_an_overwritten_folder_holds_the_new_frames_alone(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    upscaled(frames, out)
    upscaled(frames, out, "--overwrite", "--frames", 4)
    assert image_names(out) == [f"f{n}.png" for n in range(4)]


def test_a_folder_becomes_a_video(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    upscaled(frames, out, "--rate", 10)
    times = [frame.time_s for frame in file_frames(out)]
    assert times == pytest.approx([n / 10 for n in range(12)], abs=0.002)


def test_what_exists_is_kept_unless_told(clip: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    refused = streamsr("upscale", clip(), out, "--model", "bicubic")
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert out.read_bytes() == b"mine"
    upscaled(clip(), out, "--overwrite", "--frames", 3)
    onto_itself = streamsr("upscale", out, out, "--overwrite", "--model", "bicubic")
    assert onto_itself.returncode == 2
    assert "it is the input" in onto_itself.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_recording_plays(tmp_path: Path, sent: signal.Signals) -> None:
    out = tmp_path / "out.mp4"
    args = ["upscale", "demo", str(out), "--model", "bicubic", "--json"]
    with subprocess.Popen([*CLI, *args], stdout=subprocess.PIPE, text=True) as process:
        wait_for_bytes(out, 400_000, process)
        process.send_signal(sent)
        stdout, _ = process.communicate(timeout=20)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 0}.get(sent, -sent)
    played = sum(1 for _ in file_frames(out))
    if sent is signal.SIGKILL:
        assert played >= 5
    else:
        assert played == json.loads(stdout)["streams"][0]["frames_out"]


REFUSED = [
    ("upscale {tmp}/no.mp4 {tmp}/o.mp4", 2, "there is no such file"),
    ("upscale {tmp}/noise.mp4 {tmp}/o.mp4", 2, "cannot be opened"),
    ("upscale {tmp}/empty {tmp}/o", 2, "no PNG file"),
    ("upscale demo {tmp}/o.mp4 --model fats", 2, "did you mean 'fast'"),
    ("upscale demo {tmp}/o.mp4 --device cuda:9", 2, "CUDA devices"),
    ("upscale demo {tmp}/no/o.mp4", 2, "does not exist"),
    ("upscale demo {tmp}/o.gif", 2, "allowed are .mp4"),
    ("upscale demo /proc/o.mp4", 2, "cannot be written"),
    ("upscale gopher://x {tmp}/o.mp4", 2, "scheme 'gopher'"),
    ("upscale rtsp://u:canary%231@127.0.0.1:1/x {tmp}/o.mp4", 1, "refused"),
    ("upscale {mute} {tmp}/o.mp4", 1, "input rtsp://***@"),
    ("upscale {clip} {mute} --model bicubic --device cpu", 1, "nothing was delivered"),
    ("probe rtsp://u:canary%231@127.0.0.1:1/x", 1, "refused"),
    ("probe {tmp}/no.mp4", 2, "there is no such file"),
    ("run {tmp}/typo.toml", 2, "did you mean 'transport'"),
    ("run {tmp}/broken.toml", 2, "cannot be read as TOML"),
    ("run {tmp}/no.toml", 2, "there is no such file"),
    ("run {tmp}/idle.toml", 2, "it has no output"),
    ("run {tmp}/idle.toml --set input.live=maybe", 2, "input.live: got 'maybe'"),
    ("serve {tmp}/no.mp4", 2, "there is no such file"),
    ("demo --listen 0.0.0.0:0", 2, "loopback"),
    ("demo --listen nowhere", 2, "HOST:PORT"),
    ("models info fats", 2, "did you mean 'fast'"),
    ("models import {tmp}/noise.mp4 --name x --into {tmp}", 2, "noise.mp4"),
    ("eval {tmp}/empty", 2, "empty"),
    ("train {tmp}/no.toml", 2, "there is no such file"),
    ("bench --size big", 2, "WIDTHxHEIGHT"),
]
"""Arguments, the exit code and a few of the words."""


@pytest.fixture(scope="module")
def refused(
    clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    """``refused(args)``: what came of one of ``REFUSED``. Two run at once: most of what they take
    is imports, and some wait for a peer."""
    folder = tmp_path_factory.mktemp("pitfalls")
    (folder / "empty").mkdir()
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(30_000))
    (folder / "typo.toml").write_text('[input]\nurl = "demo"\ntranport = "udp"\n[serve]\n')
    (folder / "broken.toml").write_text("[input\n")
    (folder / "idle.toml").write_text('[input]\nurl = "demo"\n')
    with MuteServer() as mute, ThreadPoolExecutor(2) as pool:
        mute_url = f"rtsp://u:canary%231@127.0.0.1:{mute.port}/x"
        places = {"tmp": str(folder), "clip": str(clip()), "mute": mute_url}

        def run(args: str) -> subprocess.CompletedProcess[str]:
            return streamsr(*[part.format(**places) for part in args.split()], timeout_s=25)

        running = {args: pool.submit(run, args) for args, _, _ in REFUSED}
        yield lambda args: running[args].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("args", "code", "words"), REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(
    refused: Callable[[str], subprocess.CompletedProcess[str]], args: str, code: int, words: str
) -> None:
    done = refused(args)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "canary" not in done.stderr + done.stdout
    assert done.stderr.strip().splitlines()[-1].startswith("streamsr: ")


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with MuteServer() as taken:
        done = streamsr("demo", "--listen", f"127.0.0.1:{taken.port}", timeout_s=25)
    assert done.returncode == 2
    assert str(taken.port) in done.stderr


def test_a_live_camera_becomes_one_continuous_recording(
    rtsp_camera: Callable[..., RtspCamera], tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    camera = rtsp_camera()
    args = ["upscale", camera.url, str(out), "--model", "bicubic", "--seconds", "10", "--json"]
    with subprocess.Popen([*CLI, *args], stdout=subprocess.PIPE, text=True) as process:
        wait_for_bytes(out, 100_000, process)
        camera.restart()
        stdout, _ = process.communicate(timeout=30)
    (summary,) = json.loads(stdout)["streams"]
    assert process.returncode == 0
    assert summary["reconnects"] == 1
    assert summary["frames_in"] == summary["frames_out"] + summary["frames_dropped"]
    times = [frame.time_s for frame in file_frames(out)]
    assert len(times) == summary["frames_out"] + summary["frames_held"]
    assert times[-1] - times[0] == pytest.approx(10, abs=1)
    assert max(b - a for a, b in itertools.pairwise(times)) < 1.0


@pytest.mark.parametrize("late", [False, True])
def test_a_file_reaches_a_server_whole(
    clip: Callable[..., Path], rtsp_server: RtspServer, late: bool
) -> None:
    """A server that comes while the file plays already misses nothing of it either."""
    if late:
        rtsp_server.kill()
    args = ["upscale", str(clip()), rtsp_server.url(), "--model", "bicubic", "--device", "cpu"]
    with subprocess.Popen([*CLI, *args], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        if late:
            assert "OUT_DOWN" in process.stderr.readline()
            rtsp_server.start()
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr
    (file,) = rtsp_server.files()
    numbers = seen(file).numbers
    assert numbers[:75] == list(range(75)), "the server may keep its last second to itself"


def test_a_hang_up_is_no_end_while_a_node_starts(tmp_path: Path) -> None:
    """It reloads the settings; it came while torch was imported, say, and killed the node."""
    args = ["run", "demo-node.toml", "--seconds", "1"]
    (tmp_path / "demo-node.toml").write_text(
        '[input]\nurl = "demo"\n[model]\nname = "bicubic"\n[serve]\nlisten = "127.0.0.1:0"\n'
    )
    with subprocess.Popen([*CLI, *args], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        deadline = monotonic() + 30
        while "libtorch" not in maps.read_text() and monotonic() < deadline:
            sleep(0.01)
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr
    assert b"Watch it" in stderr


def test_help_names_every_command() -> None:
    words = streamsr("--help").stdout
    for command in ["demo", "run", "upscale", "serve", "probe", "models", "train", "eval", "bench"]:
        assert command in words
        assert "Usage" in streamsr(command, "--help").stdout


def test_probe_describes_a_file(clip: Callable[..., Path]) -> None:
    done = streamsr("probe", clip(), "--json")
    found = json.loads(done.stdout)
    assert found["size"] == "320x180"
    assert found["output"] == "1280x720"
    assert found["audio"] == "aac"
    assert found["frames"] == 100


def test_models_are_listed() -> None:
    listed = json.loads(streamsr("models", "list", "--json").stdout)
    assert {"bicubic", "lanczos", "fast"} <= {model["name"] for model in listed}


def _luma(rgb: np.ndarray) -> np.ndarray:
    return rgb.mean(2).astype(np.uint8)
