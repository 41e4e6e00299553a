"""Fragments of MP4: what a player finds in them."""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from peers import FPS, packets, seen

from streamsr.core.packet import Packet, Track
from streamsr.serve.live.fragmenter import Fragmenter, MediaFragment

RATE = Fraction(FPS)


def stream(seconds: float, size: tuple[int, int] = (320, 180)) -> Iterator[Packet]:
    for packet in packets(lambda: size):
        if packet.track == Track.OUTPUT and packet.pts * packet.time_base >= seconds:
            return
        yield packet


def made(
    coming: Iterable[Packet], fragmenter: Fragmenter | None = None, *, audio: bool = True
) -> list[MediaFragment]:
    fragmenter = fragmenter or Fragmenter()
    return [f for packet in coming for f in fragmenter.take(packet, RATE, audio=audio)]


def written(fragments: list[MediaFragment], path: Path) -> Path:
    assert len({id(fragment.init) for fragment in fragments}) == 1
    path.write_bytes(fragments[0].init.data + b"".join(f.data for f in fragments))
    return path


def test_each_frame_is_there_with_the_audio_of_its_time(tmp_path: Path) -> None:
    fragments = made(stream(4))
    assert len(fragments) == 4 * FPS - 1, "the newest waits for the one after it"
    assert re.fullmatch(r"avc1\.[0-9a-f]{6},mp4a\.40\.2", fragments[0].init.codecs)
    found = seen(written(fragments, tmp_path / "a.mp4"))
    assert found.numbers == list(range(4 * FPS - 1))
    assert found.offset_s() < 0.05


def test_it_begins_at_a_keyframe_wherever_that_is(tmp_path: Path) -> None:
    late = [p for p in stream(4) if p.pts * p.time_base > Fraction(1, 2)]
    fragments = made(late)
    assert fragments[0].begins_s == 1
    assert fragments[0].keyframe
    found = seen(written(fragments, tmp_path / "a.mp4"))
    assert found.numbers[0] == FPS
    assert found.unbroken


def test_frames_last_until_the_next_one() -> None:
    frames = [p for p in stream(2) if p.track == Track.OUTPUT]
    fragments = made(frames[::5], audio=False)
    assert {fragment.lasts_s for fragment in fragments} == {Fraction(5, FPS)}
    assert all(a.begins_s + a.lasts_s == b.begins_s for a, b in itertools.pairwise(fragments))


def test_without_audio_there_is_no_track_of_it(tmp_path: Path) -> None:
    fragments = made([p for p in stream(2) if p.track == Track.OUTPUT], audio=False)
    assert "mp4a" not in fragments[0].init.codecs
    assert seen(written(fragments, tmp_path / "a.mp4")).samples == 0


def test_where_audio_stops_there_is_silence(tmp_path: Path) -> None:
    """A browser plays no further than the shorter of two tracks goes."""
    coming = [p for p in stream(5) if p.track == Track.OUTPUT or p.pts < 2 * 48_000]
    found = seen(written(made(coming), tmp_path / "a.mp4"))
    assert found.samples / 48_000 == pytest.approx(4, abs=0.1), "a second behind the frames"


def test_a_hole_in_the_audio_is_silent(tmp_path: Path) -> None:
    hole = range(48_000, 60_000)
    coming = [p for p in stream(4) if p.track == Track.OUTPUT or p.pts not in hole]
    found = seen(written(made(coming), tmp_path / "a.mp4"))
    assert found.samples / 48_000 == pytest.approx(4, abs=0.1)
    assert found.offset_s(1.5) < 0.05


def test_another_size_begins_again() -> None:
    fragmenter = Fragmenter()
    made(stream(2), fragmenter)
    later = (replace(p, pts=p.pts + round(2 / p.time_base)) for p in stream(2, (192, 108)))
    fragments = made(later, fragmenter)
    assert fragments[0].begins_s == 2 - Fraction(1, FPS), "the last one of the first size"
    assert len({id(fragment.init) for fragment in fragments}) == 2
    assert fragments[1].keyframe
    assert fragments[1].begins_s == 2


def test_audio_that_comes_or_goes_begins_again() -> None:
    fragmenter = Fragmenter()
    made(stream(2), fragmenter, audio=False)
    later = (replace(p, pts=p.pts + round(2 / p.time_base)) for p in stream(2))
    inits = [f.init.codecs.count(",") for f in made(later, fragmenter)]
    assert inits[:2] == [0, 1]


def test_audio_that_comes_waits_for_the_next_keyframe(tmp_path: Path) -> None:
    """A player refuses fragments with a track that its initial segment does not have."""
    fragmenter, coming = Fragmenter(), list(stream(3))
    fragments = [
        f
        for packet in coming
        for f in fragmenter.take(packet, RATE, audio=packet.pts * packet.time_base > Fraction(1, 2))
    ]
    before = [f for f in fragments if f.init is fragments[0].init]
    assert len(before) == FPS
    assert all(f.data.count(b"traf") == 1 for f in before)
    assert seen(written(fragments[FPS:], tmp_path / "a.mp4")).offset_s() < 0.05


def test_a_pause_of_hours_begins_again() -> None:
    fragmenter = Fragmenter()
    first = made(stream(1), fragmenter)
    later = (replace(p, pts=p.pts + round(50_000 / p.time_base)) for p in stream(1))
    fragments = made(later, fragmenter)
    assert fragments[0].init is first[0].init
    assert fragments[0].lasts_s == Fraction(1, FPS)
    assert fragments[1].init is not first[0].init
    assert fragments[1].begins_s == 50_000


def test_what_is_no_keyframe_breaks_nothing() -> None:
    bad = Packet(Track.OUTPUT, b"\0\0\1\x65nothing", 0, Fraction(1, 90_000), keyframe=True)
    assert made([bad, bad]) == []
