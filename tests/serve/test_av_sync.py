"""What leaves when: input and audio wait for the output picture of their instant."""

from fractions import Fraction

from streamsr.core.packet import Packet, Track
from streamsr.serve.av_sync import AvSync

RATES = {Track.INPUT: 25, Track.OUTPUT: 25, Track.OPUS: 50}


def packet(track: str, number: int) -> Packet:
    return Packet(track, b"", number, Fraction(1, RATES[track]), keyframe=True)


def names(packets: list[Packet]) -> list[str]:
    return [f"{p.track} {p.pts}" for p in packets]


def test_input_leaves_with_the_output_of_its_instant() -> None:
    pacer = AvSync()
    assert pacer.push(packet(Track.INPUT, 0)) == []
    assert pacer.push(packet(Track.INPUT, 1)) == []
    assert names(pacer.push(packet(Track.OUTPUT, 0))) == ["output 0", "input 0"]
    assert names(pacer.push(packet(Track.OUTPUT, 1))) == ["output 1", "input 1"]


def test_input_that_comes_after_its_output_does_not_wait() -> None:
    pacer = AvSync()
    assert names(pacer.push(packet(Track.OUTPUT, 3))) == ["output 3"]
    assert names(pacer.push(packet(Track.INPUT, 3))) == ["input 3"]


def test_audio_waits_for_the_picture_it_belongs_to_and_not_longer() -> None:
    pacer = AvSync()
    pacer.push(packet(Track.OUTPUT, 0))
    assert names(pacer.push(packet(Track.OPUS, 0))) == ["audio 0"]
    assert [pacer.push(packet(Track.OPUS, n)) for n in (1, 2, 3)] == [[], [], []]
    assert names(pacer.push(packet(Track.OUTPUT, 1))) == ["output 1", "audio 1", "audio 2"]


def test_there_is_no_audio_before_the_first_picture() -> None:
    pacer = AvSync()
    assert pacer.push(packet(Track.OPUS, 0)) == []
    assert names(pacer.push(packet(Track.OUTPUT, 5))) == ["output 5"]


def test_an_output_that_stalls_holds_back_no_more_than_the_capacity() -> None:
    pacer = AvSync(capacity=3)
    left = [names(pacer.push(packet(Track.INPUT, n))) for n in range(6)]
    assert left == [[], [], [], ["input 0"], ["input 1"], ["input 2"]]
