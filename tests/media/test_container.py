"""No time stamp that a muxer cannot hold reaches it: FFmpeg would end the process."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsr.core.packet import Packet, Track
from streamsr.media.container import Container
from streamsr.media.tracks.formats import CONTAINERS

HOUR = 3600
AAC = Fraction(1, 48_000)
PIECE = bytes.fromhex("211004608c1c")  # silence


@pytest.fixture
def keyframe() -> Packet:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    coded = [*encoder.encode(av.VideoFrame(64, 48, "yuv420p")), *encoder.encode(None)]
    return Packet(Track.OUTPUT, bytes(coded[0]), 0, Fraction(1, 90_000), True)


@pytest.fixture
def make(keyframe: Packet, tmp_path: Path):
    def made(ending: str) -> Container:
        container = Container(str(tmp_path / f"out{ending}"), CONTAINERS[ending])
        container.add_video(keyframe, Fraction(25))
        container.add_audio()
        return container

    return made


@pytest.mark.parametrize("far", [7 * HOUR, 13 * HOUR, 30 * HOUR, 2**40])
def test_frames_too_far_apart_are_refused(make, keyframe: Packet, far: int) -> None:
    container = make(".mp4")
    container.video(keyframe, 0)
    container.audio(PIECE, 0, AAC, 1024)
    with pytest.raises(OSError, match=r"h apart, allowed in this track are 6\.6 h"):
        container.video(keyframe, far * 90_000)
    container.video(keyframe, 3600)
    container.close()


@pytest.mark.parametrize("far", [13 * HOUR, 28 * HOUR])
def test_audio_too_far_apart_is_refused(make, keyframe: Packet, far: int) -> None:
    container = make(".mp4")
    container.video(keyframe, 0)
    container.audio(PIECE, 0, AAC, 1024)
    with pytest.raises(OSError, match=r"h apart, allowed in this track are 12\.4 h"):
        container.audio(PIECE, far * 48_000, AAC, 1024)
    container.close()


@pytest.mark.parametrize("pts", [2**63 - 1, 2**70, -(2**62)])
def test_stamps_that_overflow_are_refused(make, keyframe: Packet, pts: int) -> None:
    for ending in (".mp4", ".mkv", ".mov", ".ts"):
        container = make(ending)
        with pytest.raises(OSError, match="time stamps"):
            container.video(keyframe, pts)
        container.close()


def test_what_the_muxer_holds_is_written(make, keyframe: Packet, tmp_path: Path) -> None:
    """Also days of it, and a packet that says it lasts for weeks."""
    container = make(".mp4")
    for hours in range(0, 60, 6):
        container.video(keyframe, hours * HOUR * 90_000)
        container.audio(PIECE, hours * HOUR * 48_000, AAC, 2**40)
    container.close()
    with av.open(tmp_path / "out.mp4") as written:
        times = [p.pts * p.time_base for p in written.demux(video=0) if p.pts is not None]
    assert times == [hours * HOUR for hours in range(0, 60, 6)]


def test_matroska_holds_a_gap_of_a_day(make, keyframe: Packet, tmp_path: Path) -> None:
    container = make(".mkv")
    container.video(keyframe, 0)
    container.video(keyframe, 28 * HOUR * 90_000)
    container.close()
    with av.open(tmp_path / "out.mkv") as written:
        times = [p.pts * p.time_base for p in written.demux(video=0) if p.pts is not None]
    assert times == [0, 28 * HOUR]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.integers(1, 200_000), min_size=2, max_size=60),
    lasts=st.lists(st.integers(0, 400_000), min_size=60, max_size=60),
    pieces=st.lists(st.integers(0, 3000), min_size=60, max_size=60),
)
def test_frames_stay_where_they_are_whatever_they_say_they_last(
    keyframe: Packet, steps: list[int], lasts: list[int], pieces: list[int]
) -> None:
    """Audio beside them ends fragments, whose last frame may say that it ends elsewhere than the
    next one begins: FFmpeg moved frames and ended the process."""
    times, at = [sum(steps[:n]) for n in range(len(steps))], 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.mp4"
        container = Container(str(path), CONTAINERS[".mp4"])
        container.add_video(keyframe, Fraction(25))
        container.add_audio()
        for number, time in enumerate(times):
            container.video(replace(keyframe, keyframe=not number, duration=lasts[number]), time)
            while at * 90_000 / 48_000 < time:
                container.audio(PIECE, at, AAC, pieces[number])
                at += 1024
        container.close()
        with av.open(path) as written:
            found = [p.pts * p.time_base for p in written.demux(video=0) if p.pts is not None]
    assert found == [Fraction(time, 90_000) for time in times]
