"""What leaves when: input and audio wait for the output frame of their time."""

from fractions import Fraction

from streamsr.core.packet import Packet, Track
from streamsr.serve.webrtc.av_sync import AvSync

INPUT, OUTPUT, OPUS = Track.INPUT, Track.OUTPUT, Track.OPUS
RATES = {INPUT: 25, OUTPUT: 25, OPUS: 50}


class Viewer:
    """Notes what its AvSync sends."""

    def __init__(self, **settings: int) -> None:
        self.ends = 0
        self._sent: list[str] = []
        self.sync = AvSync(RATES, self._send, self._end, **settings)

    def _send(self, packet: Packet) -> None:
        self._sent.append(f"{packet.track} {packet.pts}")

    def _end(self) -> None:
        self.ends += 1

    def after(self, track: Track, number: int, *, keyframe: bool = True) -> list[str]:
        """What leaves when this packet comes."""
        self._sent.clear()
        self.sync.offer(Packet(track, b"", number, Fraction(1, RATES[track]), keyframe))
        return list(self._sent)


def test_input_leaves_with_the_output_of_its_time() -> None:
    viewer = Viewer()
    assert viewer.after(INPUT, 0) == []
    assert viewer.after(INPUT, 1) == []
    assert viewer.after(OUTPUT, 0) == ["output 0", "input 0"]
    assert viewer.after(OUTPUT, 1) == ["output 1", "input 1"]


def test_input_that_comes_after_its_output_does_not_wait() -> None:
    viewer = Viewer()
    assert viewer.after(OUTPUT, 3) == ["output 3"]
    assert viewer.after(INPUT, 3) == ["input 3"]


def test_audio_waits_for_the_frame_it_belongs_to_and_not_longer() -> None:
    viewer = Viewer()
    viewer.after(OUTPUT, 0)
    assert viewer.after(OPUS, 0) == ["audio 0"]
    assert [viewer.after(OPUS, n) for n in (1, 2, 3)] == [[], [], []]
    assert viewer.after(OUTPUT, 1) == ["output 1", "audio 1", "audio 2"]
    assert viewer.sync.dropped == 0


def test_what_comes_before_the_first_keyframe_is_dropped_and_counted() -> None:
    viewer = Viewer()
    assert viewer.after(OPUS, 0) == []
    assert viewer.after(OUTPUT, 4, keyframe=False) == []
    assert viewer.after(OPUS, 1) == []
    assert viewer.after(OUTPUT, 5) == ["output 5"]
    assert viewer.after(OUTPUT, 6, keyframe=False) == ["output 6"]
    assert viewer.sync.dropped == 3


def test_an_output_that_stalls_holds_back_no_more_than_the_capacity() -> None:
    viewer = Viewer(capacity=3)
    left = [viewer.after(INPUT, n) for n in range(6)]
    assert left == [[], [], [], ["input 0"], ["input 1"], ["input 2"]]


def test_it_passes_the_end_on() -> None:
    viewer = Viewer()
    viewer.sync.end()
    assert viewer.ends == 1
