"""The folder of an HLS stream: numbers that rise, what is left of earlier runs, the end."""

import os
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from peers import FPS, coded_frames, packets, seen

from streamsr.core.packet import Packet, Track
from streamsr.core.status import OutputState
from streamsr.ipc.messages import OutputFormat
from streamsr.outputs.hls import PLAYLIST, HlsWriter

STREAM = OutputFormat(Fraction(FPS), True)


def write(hls: HlsWriter, coming: Iterable[Packet]) -> None:
    for packet in coming:
        hls.write(packet, STREAM)
        hls.check()


def stream(seconds: int, size: tuple[int, int] = (320, 180)) -> list[Packet]:
    found: list[Packet] = []
    for packet in packets(lambda: size):
        if packet.track == Track.OUTPUT and packet.pts * packet.time_base >= seconds:
            return found
        found.append(packet)
    raise AssertionError


def numbers(folder: Path) -> list[int]:
    """Of the segments the playlist names."""
    lines = (folder / PLAYLIST).read_text().splitlines()
    return [int(line[4:-4]) for line in lines if line.startswith("seg_")]


def test_a_player_finds_the_newest_frames_and_their_audio(tmp_path: Path) -> None:
    hls = HlsWriter(tmp_path, 1.0, 3)
    write(hls, stream(5))
    assert hls.state is OutputState.UP
    assert (tmp_path / PLAYLIST).read_text().count("#EXT-X-PROGRAM-DATE-TIME") == 3
    hls.close()
    found = seen(tmp_path / PLAYLIST)
    assert found.unbroken
    assert found.numbers == list(range(2 * FPS, 5 * FPS))
    assert found.offset_s() < 0.05
    assert (tmp_path / PLAYLIST).read_text().endswith("#EXT-X-ENDLIST\n")


def test_it_can_be_played_when_there_is_enough_to_begin_with(tmp_path: Path) -> None:
    hls = HlsWriter(tmp_path, 1.0, 3)
    for packet in stream(5):
        write(hls, [packet])
        listed = numbers(tmp_path) if (tmp_path / PLAYLIST).exists() else []
        assert (hls.state is OutputState.UP) == (len(listed) >= 3)
    assert hls.state is OutputState.UP
    hls.close()


def test_another_run_goes_on_above_and_removes_what_was_left(tmp_path: Path) -> None:
    ahead = int(time.time()) + 1000  # a clock that was set back
    (tmp_path / f"seg_{ahead}.m4s").touch()
    (tmp_path / f"seg_{ahead + 1}.m4s.tmp").touch()
    (tmp_path / f"init_{ahead}.mp4").touch()
    others = {"mine.mp4", "seg_x.m4s", "seg_1.ts"}
    for name in others:
        (tmp_path / name).touch()
    hls = HlsWriter(tmp_path, 1.0, 3)
    write(hls, stream(2))
    assert min(numbers(tmp_path)) > ahead + 1
    left = set(os.listdir(tmp_path)) - {PLAYLIST}
    assert f"seg_{ahead}.m4s" not in left
    assert f"seg_{ahead + 1}.m4s.tmp" not in left
    assert f"init_{ahead}.mp4" not in left
    assert others < left
    hls.close()


def test_what_was_left_stays_while_a_playlist_names_it(tmp_path: Path) -> None:
    first = HlsWriter(tmp_path, 1.0, 3)
    write(first, stream(3))
    named = numbers(tmp_path)  # and then it is killed, or so
    second = HlsWriter(tmp_path, 1.0, 3)
    write(second, stream(1))
    assert numbers(tmp_path) == named
    assert all((tmp_path / f"seg_{number}.m4s").exists() for number in named)
    write(second, stream(3)[-1:])
    second.close()


def test_another_size_is_a_discontinuity(tmp_path: Path) -> None:
    size = (192, 108)
    coded_frames(*size)
    hls = HlsWriter(tmp_path, 1.0, 3)
    write(hls, stream(2))
    before = numbers(tmp_path)
    write(hls, stream(2, size))
    assert "#EXT-X-DISCONTINUITY\n" in (tmp_path / PLAYLIST).read_text()
    assert min(numbers(tmp_path)) > max(before)
    hls.close()
    assert seen(tmp_path / PLAYLIST).sizes == {size}
