"""Audio whose channels are in an order of its own, whose list PyAV would free twice, is kept."""

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

PROGRAM = [sys.executable, str(Path(__file__).parents[2] / "run_stream.py")]


def surround(path: Path) -> Path:
    """A clip with 7.1 in the order that QuickTime has it in: what a track says of it is changed."""
    with av.open(path, "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=48_000, layout="7.1")
        for number in range(10):
            image = av.VideoFrame(64, 48, "yuv420p")
            image.pts, image.time_base = number, Fraction(1, 25)
            out.mux(video.encode(image))
            samples = av.AudioFrame("s16", "7.1", 1920)
            samples.planes[0].update(bytes(1920 * 16))
            samples.sample_rate, samples.pts = 48_000, 1920 * number
            out.mux(audio.encode(samples))
        out.mux(video.encode(None))
    said = b"chan" + struct.pack(">4I", 0, 1 << 16, 0x63F, 0)  # a bit a channel
    own = b"chan" + struct.pack(">4I", 0, 128 << 16 | 8, 0, 0)  # kAudioChannelLayoutTag_MPEG_7_1_C
    assert said in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(said, own))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_they_abort_nothing(tmp_path: Path, suffix: str) -> None:
    """In a process of its own, which would be the one that is aborted."""
    source, target = surround(tmp_path / "in.mov"), tmp_path / f"out{suffix}"
    names = [str(source), str(target), "--model", "bicubic", "--scale", "1", "--device", "cpu"]
    subprocess.run([*PROGRAM, "upscale", *names], check=True, timeout=90)
    with av.open(target) as made:
        assert made.streams.audio[0].codec_context.channels == 8
