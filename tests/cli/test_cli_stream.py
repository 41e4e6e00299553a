"""The commands that run a pipeline: files, folders, cameras and servers."""

import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from peers import MuteServer, RtspCamera, RtspServer, read_number, seen

from streamsr.media.addresses import folder_images
from streamsr.media.images import image_frames
from streamsr.sources.opening import file_frames

if TYPE_CHECKING:
    from conftest import Started, Streamsr

Upscaled = Callable[..., dict[str, Any]]


def wait_for(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Waits for what another process does."""
    deadline_s = monotonic() + within_s
    while not condition():
        assert monotonic() < deadline_s, f"not within {within_s} s"
        sleep(0.01)


def holds(path: Path, count: int) -> bool:
    return path.is_file() and path.stat().st_size >= count


@pytest.fixture
def frames(clip: Callable[..., Path], tmp_path: Path, upscaled: Upscaled) -> Path:
    """A folder of twelve PNG frames, numbered without leading zeros."""
    folder = tmp_path / "frames"
    upscaled(clip(width=160, height=90), folder, "--frames", 12)
    for number, name in enumerate(folder_images(folder)):
        (folder / name).rename(folder / f"f{number}.png")
    return folder


def test_a_file_becomes_a_file_with_its_audio(
    clip: Callable[..., Path], tmp_path: Path, upscaled: Upscaled
) -> None:
    out = tmp_path / "out.mp4"
    summary = upscaled(clip(), out)
    assert (summary["frames_in"], summary["frames_out"]) == (100, 100)
    assert (summary["input"], summary["output"]) == ("320x180", "1280x720")
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert container.streams.video[0].frames == 100
    assert [read_number(f.planes[0]) for f in file_frames(out)] == list(range(100))


def test_recordings_of_different_hours_become_one(
    clip: Callable[..., Path], tmp_path: Path, upscaled: Upscaled
) -> None:
    """Joined byte by byte: FFmpeg's muxer would end the process over eight hours of nothing."""
    joined, out = tmp_path / "joined.ts", tmp_path / "out.mp4"
    parts = []
    for first, hours in ((0, 0), (50, 8)):
        part = tmp_path / f"{hours}.ts"
        with av.open(clip(first=first, seconds=2)) as source, av.open(part, "w") as target:
            copies = {s.index: target.add_stream_from_template(s) for s in source.streams}
            for packet in source.demux():
                if packet.dts is not None and packet.pts is not None:
                    later = round(hours * 3600 / packet.time_base)
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
        parts.append(part.read_bytes())
    joined.write_bytes(b"".join(parts))
    assert upscaled(joined, out, "--size", "180")["time_jumps"] == 1
    with av.open(out) as container:
        assert container.duration / av.time_base == pytest.approx(4.0, abs=0.1)
        assert container.streams.video[0].frames == 100


def test_a_folder_becomes_a_folder_of_the_same_names(
    frames: Path, tmp_path: Path, upscaled: Upscaled
) -> None:
    out = tmp_path / "out"
    summary = upscaled(frames, out)
    assert summary["frames_out"] == 12
    assert folder_images(out) == [f"f{n}.png" for n in range(12)]
    lumas = [frame.planes[0].mean(2).astype(np.uint8) for frame in image_frames(out)]
    assert [read_number(luma) for luma in lumas] == list(range(12))
    upscaled(frames, out, "--overwrite", "--frames", 4)
    assert folder_images(out) == [f"f{n}.png" for n in range(4)], "the new frames alone"


def test_a_folder_becomes_a_video(frames: Path, tmp_path: Path, upscaled: Upscaled) -> None:
    out = tmp_path / "out.mkv"
    upscaled(frames, out, "--rate", 10)
    times = [frame.time_s for frame in file_frames(out)]
    assert times == pytest.approx([n / 10 for n in range(12)], abs=0.002)


def test_what_exists_is_kept_unless_told(
    clip: Callable[..., Path], tmp_path: Path, streamsr: "Streamsr", upscaled: Upscaled
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    refused = streamsr("upscale", clip(), out, "--model", "bicubic")
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert out.read_bytes() == b"mine"
    upscaled(clip(), out, "--overwrite", "--frames", 3)
    onto_itself = streamsr("upscale", out, out, "--overwrite", "--model", "bicubic")
    assert onto_itself.exit_code == 2
    assert "it is the input" in onto_itself.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_recording_plays(
    tmp_path: Path, started: "Started", sent: signal.Signals
) -> None:
    out = tmp_path / "out.mp4"
    with started("upscale", "demo", out, "--model", "bicubic", "--json") as process:
        wait_for(lambda: holds(out, 400_000) or process.poll() is not None)
        process.send_signal(sent)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 0}.get(sent, -sent), stderr
    played = sum(1 for _ in file_frames(out))
    if sent is signal.SIGKILL:
        assert played >= 5
    else:
        assert played == json.loads(stdout)["streams"][0]["frames_out"]


GONE = "rtsp://u:canary%231@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("upscale {gone} {tmp}/o.mp4 --model bicubic --set input.give_up_s=0.2", "refused"),
        ("upscale {mute} {tmp}/o.mp4 --model bicubic --set input.give_up_s=0.2", "rtsp://***@"),
        ("upscale {clip} {mute} --model bicubic --set {publish}", "nothing was delivered"),
        ("probe {gone} --set input.give_up_s=0.2", "refused"),
    ],
)
def test_a_peer_that_does_not_answer_is_a_failure(
    clip: Callable[..., Path], tmp_path: Path, streamsr: "Streamsr", args: str, words: str
) -> None:
    with MuteServer() as mute:
        url = f"rtsp://u:canary%231@127.0.0.1:{mute.port}/x"
        publish = f'publish=[{{url="{url}",give_up_s=0.5}}]'
        places = {"tmp": tmp_path, "clip": clip(), "mute": url, "gone": GONE, "publish": publish}
        done = streamsr(*[part.format(**places) for part in args.split()])
    assert done.exit_code == 1, done.stderr
    assert words in done.stderr
    assert "canary" not in done.output
    assert done.stderr.strip().splitlines()[-1].startswith("streamsr: ")


def test_a_port_in_use_is_said(streamsr: "Streamsr") -> None:
    with MuteServer() as taken:
        done = streamsr("demo", "--listen", f"127.0.0.1:{taken.port}")
    assert done.exit_code == 2
    assert str(taken.port) in done.stderr


def test_a_live_camera_becomes_one_continuous_recording(
    rtsp_camera: Callable[..., RtspCamera], tmp_path: Path, started: "Started"
) -> None:
    out = tmp_path / "out.mp4"
    camera = rtsp_camera()
    args = ["upscale", camera.url, out, "--model", "bicubic", "--seconds", 6, "--json"]
    with started(*args) as process:
        wait_for(lambda: holds(out, 100_000) or process.poll() is not None)
        camera.restart()
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    (summary,) = json.loads(stdout)["streams"]
    assert summary["reconnects"] == 1
    assert summary["frames_in"] == summary["frames_out"] + summary["frames_dropped"]
    times = [frame.time_s for frame in file_frames(out)]
    assert len(times) == summary["frames_out"] + summary["frames_held"]
    assert times[-1] - times[0] == pytest.approx(6, abs=1)
    assert max(b - a for a, b in itertools.pairwise(times)) < 1.0
    with av.open(out) as container:
        heard = [samples.samples / samples.rate for samples in container.decode(audio=0)]
    assert sum(heard) == pytest.approx(times[-1] - times[0], abs=0.15), "silent while it was away"


@pytest.mark.parametrize("output", ["never.mp4", "rtsp://127.0.0.1:{port}/never"])
def test_a_run_that_made_nothing_fails_whatever_ended_it(
    streamsr: "Streamsr", tmp_path: Path, output: str
) -> None:
    with MuteServer() as gone:
        port = gone.port
    where = output.format(port=port) if "://" in output else str(tmp_path / output)
    args = ["--model", "bicubic", "--seconds", 1]
    done = streamsr("upscale", f"rtsp://127.0.0.1:{port}/cam", where, *args)
    assert done.exit_code == 1
    assert "no frame ever came" in done.stderr


@pytest.mark.parametrize("late", [False, True])
def test_a_file_reaches_a_server_whole(
    clip: Callable[..., Path], rtsp_server: RtspServer, started: "Started", late: bool
) -> None:
    """A server that comes while the file plays already misses nothing of it either."""
    if late:
        rtsp_server.kill()
    url = rtsp_server.url()
    with started("upscale", clip(), url, "--model", "bicubic", "--device", "cpu") as process:
        assert process.stderr is not None
        if late:
            assert "OUT_DOWN" in process.stderr.readline()
            rtsp_server.start()
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr
    (file,) = rtsp_server.files()
    numbers = seen(file).numbers
    assert numbers[:75] == list(range(75)), "the server may keep its last second to itself"


def test_a_hang_up_is_no_end_while_a_node_starts(tmp_path: Path, started: "Started") -> None:
    """It reloads the settings; while modules are imported it used to end the node."""
    (tmp_path / "demo-node.toml").write_text(
        '[input]\nurl = "demo"\n[model]\nname = "bicubic"\n[serve]\nlisten = "127.0.0.1:0"\n'
    )

    def handled(process_id: int) -> int:
        status = Path(f"/proc/{process_id}/status").read_text()
        fields = dict(line.split(":") for line in status.splitlines())
        masks = [fields["SigIgn"], fields["SigCgt"]]
        return sum(int(mask, 16) for mask in masks) & 1 << signal.SIGHUP - 1

    args = ["run", "demo-node.toml", "--seconds", 1]
    with started(*args, cwd=tmp_path) as process:
        wait_for(lambda: handled(process.pid))
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr
    assert "Watch it" in stderr


@pytest.mark.parametrize(
    "command", [["demo"], ["serve", "demo", "--set", "serve.token_file=token"]]
)
def test_a_hang_up_has_files_read_again(
    tmp_path: Path, started: "Started", command: list[str]
) -> None:
    (tmp_path / "token").write_text("a-token-of-some-length")
    args = [*command, "--model", "bicubic", "--listen", "127.0.0.1:0", "--seconds", 4]
    with started(*args, cwd=tmp_path) as process:
        assert process.stderr is not None
        began = list(itertools.takewhile(lambda line: "Watch it" not in line, process.stderr))
        (tmp_path / "token").write_text("another-token-of-some-length")
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr
    said = "CONFIG_RELOADED streams begun again: none" in stderr, "is another now" in stderr
    assert said == (True, "serve" in command), began
