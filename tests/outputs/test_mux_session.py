"""One container in time from 0 on: what goes in, what comes out, and how soon."""

from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest
from peers import FPS, coded_frames, packets, seen

from streamsr.bitstream.h264 import parameter_sets
from streamsr.core.packet import Packet, Track
from streamsr.ipc.messages import OutputFormat
from streamsr.outputs.mux_session import LATE_AUDIO_S, Muxer, MuxSession, MuxTarget

CLOCK = Fraction(1, 90_000)
WITH_AUDIO, WITHOUT_AUDIO = OutputFormat(Fraction(FPS), True), OutputFormat(Fraction(FPS), False)


def moved(packet: Packet, seconds: float) -> Packet:
    pts = packet.pts + round(seconds / packet.time_base)
    return Packet(packet.track, packet.data, pts, packet.time_base, packet.keyframe)


def stream(frames: int, *, start_s: float = 0.0) -> list[Packet]:
    found: list[Packet] = []
    for packet in packets():
        found.append(moved(packet, start_s))
        if packet.track == Track.OUTPUT:
            frames -= 1
        if frames == 0:
            return found
    raise AssertionError


def written(path: Path, coming: list[Packet], *, audio: bool = True) -> Path:
    target = MuxTarget(str(path), "mp4", late_audio_s=LATE_AUDIO_S)
    session = MuxSession(target, coming[0], OutputFormat(Fraction(FPS), audio))
    for packet in coming:
        session.write(packet)
    session.close()
    return path


def test_time_begins_at_0_and_tracks_keep_their_distance(tmp_path: Path) -> None:
    found = seen(written(tmp_path / "a.mp4", stream(2 * FPS, start_s=1234.5)))
    assert found.numbers == list(range(2 * FPS))
    assert found.times == pytest.approx([n / FPS for n in range(2 * FPS)], abs=1e-3)
    assert found.offset_s() < 0.05


def test_audio_from_before_the_first_frame_is_left_out(tmp_path: Path) -> None:
    early = [moved(p, 1.0) for p in stream(5) if p.track == Track.AAC]
    coming = stream(FPS, start_s=2.0)
    found = seen(written(tmp_path / "a.mp4", [coming[0], *early, *coming[1:]]))
    assert found.numbers == list(range(FPS))
    assert found.samples == 48_000 // 1024 * 1024, "to the end of the last frame"


def audio_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.size]


@pytest.mark.parametrize("off_s", [1.5, 4.0, 9.0])
def test_while_a_stream_is_off_there_is_silence_of_that_length(
    tmp_path: Path, off_s: float
) -> None:
    path = written(tmp_path / "a.mp4", [*stream(2 * FPS), *stream(2 * FPS, start_s=2 + off_s)])
    found = seen(path)
    assert found.samples / 48_000 == pytest.approx(4 + off_s, abs=0.06)
    assert found.offset_s() < 0.05
    times = audio_times(path)
    assert max(b - a for a, b in pairwise(times)) < 2 * 1024 / 48_000
    assert min(b - a for a, b in pairwise(times)) > 0


@pytest.mark.parametrize("heard", [range(0), range(25), range(100, 150)])
def test_where_audio_is_missing_it_is_silent_to_the_end(tmp_path: Path, heard: range) -> None:
    """Never there; gone after half a second; there for a second in the midst."""
    coming = stream(6 * FPS)
    audio = [packet for packet in coming if packet.track == Track.AAC]
    missing = {id(packet) for n, packet in enumerate(audio) if n not in heard}
    path = written(tmp_path / "a.mp4", [p for p in coming if id(p) not in missing])
    found = seen(path)
    assert found.samples == 6 * 48_000 // 1024 * 1024
    assert max(b - a for a, b in pairwise(audio_times(path))) < 2 * 1024 / 48_000
    second = [b for b in found.beeps if 0.5 < b < 5]
    assert second == pytest.approx([3.0] if heard.start else [], abs=0.05)


def test_audio_that_comes_a_second_late_is_kept(tmp_path: Path) -> None:
    coming = stream(5 * FPS)
    late = sorted(coming, key=lambda p: p.pts * p.time_base + (p.track == Track.AAC))
    found = seen(written(tmp_path / "a.mp4", late))
    assert found.offset_s() < 0.05


def test_a_stream_that_was_off_for_long_goes_on_in_another_session(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(2)]
    targets = iter([MuxTarget(str(path), "mp4") for path in paths])
    muxer = Muxer(lambda: next(targets))
    for packet in [*stream(FPS), *stream(FPS, start_s=3600.0)]:
        muxer.write(packet, WITH_AUDIO)
    muxer.close()
    assert [len(seen(path).numbers) for path in paths] == [FPS, FPS]


def test_a_clock_that_steps_back_never_makes_time_fall(tmp_path: Path) -> None:
    first, second = stream(FPS), stream(FPS, start_s=0.9)
    path = written(tmp_path / "a.mp4", [*first, *second])
    with av.open(str(path)) as container:
        times = [p.dts for p in container.demux(video=0) if p.size]
    assert times == sorted(set(times))
    assert len(times) == 2 * FPS


def test_a_session_takes_the_same_format_alone(tmp_path: Path) -> None:
    session = MuxSession(MuxTarget(str(tmp_path / "a.mp4"), "mp4"), stream(1)[0], WITHOUT_AUDIO)
    same, other = (
        Packet(Track.OUTPUT, coded_frames(*size)[0][0], 0, CLOCK, True)
        for size in ((320, 180), (192, 108))
    )
    assert session.takes(same, WITHOUT_AUDIO)
    assert not session.takes(same, WITH_AUDIO)
    assert not session.takes(other, WITHOUT_AUDIO)
    session.close()


def test_parameter_sets_are_found() -> None:
    sps, pps = b"\x67\x42\x00\x1e", b"\x68\xce\x38"
    unit = b"\0\0\0\1\x09\xf0\0\0\0\1" + sps + b"\0\0\0\1" + pps + b"\0\0\1\x65\x88\0\0\1\x67no"
    assert parameter_sets(unit) == sps + b"\0\0\1" + pps
    assert parameter_sets(b"\0\0\0\1\x41\x9a") == b""
    assert parameter_sets(b"") == b""


def test_a_muxer_begins_at_a_keyframe_and_again_where_the_stream_changes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(3)]
    targets = iter([MuxTarget(str(path), "mp4") for path in paths])
    muxer = Muxer(lambda: next(targets))
    other = [
        Packet(Track.OUTPUT, data, number * 3600, CLOCK, keyframe)
        for number, (data, keyframe) in enumerate(coded_frames(192, 108)[:5])
    ]
    for packet in stream(FPS)[1:]:
        muxer.write(packet, WITHOUT_AUDIO)
    assert muxer.session is None
    for coming, told in ((stream(5), WITHOUT_AUDIO), (stream(5), WITH_AUDIO), (other, WITH_AUDIO)):
        for packet in coming:
            muxer.write(packet, told)
    muxer.close()
    found = [seen(path) for path in paths]
    assert [len(each.numbers) for each in found] == [5, 5, 5]
    assert [bool(each.samples) for each in found] == [False, True, False]
    assert [each.sizes for each in found] == [{(320, 180)}, {(320, 180)}, {(192, 108)}]


@pytest.mark.parametrize("audio", [True, False])
def test_frames_do_not_wait_for_audio_that_does_not_come(tmp_path: Path, audio: bool) -> None:
    """A server's view: how many frames are out after each one that was written."""
    path = tmp_path / "a.flv"
    coming = stream(3 * FPS)
    target = MuxTarget(str(path), "flv", {"flush_packets": "1"})
    session = MuxSession(target, coming[0], WITH_AUDIO)
    late = []
    given = 0
    for packet in coming:
        if packet.track == Track.AAC and not audio:
            continue
        session.write(packet)
        given += packet.track == Track.OUTPUT
        if packet.track == Track.OUTPUT and given % 10 == 0:
            with av.open(str(path)) as container:
                out = sum(1 for p in islice(container.demux(video=0), given) if p.size)
            late.append(given - out)
    session.close()
    assert max(late) <= 2  # FFmpeg by itself would wait for 10 s of them
