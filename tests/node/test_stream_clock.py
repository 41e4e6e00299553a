"""A stream's time across its sessions: as the clock says, and evenly within each."""

from fractions import Fraction
from itertools import pairwise

import pytest

from streamsr.core.packet import Packet, Track
from streamsr.node.stream_clock import StreamClock

TICKS = Fraction(1, 90_000)
RATE = 25


class Stream:
    """Sessions on one clock; each counts from its first frame, which came in at ``began_s``."""

    def __init__(self) -> None:
        self.clock = StreamClock()
        self.clock.frame_s = Fraction(1, RATE)
        self.times: list[float] = []  # of all frames, in the stream's seconds

    def session(
        self, began_s: float, first: int, count: int, *, latency_s: float = 0.1, known: bool = True
    ) -> None:
        """The packets of ``count`` frames of a session, from number ``first`` on."""
        self.clock.begin_session()
        for number in range(first, first + count):
            came = began_s + number / RATE
            arrived = came if known else 0.0
            packet = Packet(Track.OUTPUT, b"", number * 3600, TICKS, True, arrived=arrived)
            placed = self.clock.placed(packet, came + latency_s)
            self.times.append(float(placed.pts * placed.time_base))


@pytest.mark.parametrize("idle_s", [0, 40, 3600])
def test_what_nobody_watched_is_no_later_time(idle_s: int) -> None:
    stream = Stream()
    stream.session(1000.0, idle_s * RATE, 6 * RATE)
    off_s = 4.0
    stream.session(1000.0 + idle_s + 6 + off_s, 0, 25 * RATE, latency_s=0.9)
    assert stream.times[-1] - stream.times[0] == pytest.approx(6 + off_s + 25 - 1 / RATE, abs=1e-4)
    gaps = [b - a for a, b in pairwise(stream.times)]
    assert min(gaps) == pytest.approx(1 / RATE, abs=1e-4)
    assert sum(gap > 1.5 / RATE for gap in gaps) == 1


def test_many_sessions_of_a_day_do_not_drift() -> None:
    stream = Stream()
    for hour in range(24):
        stream.session(500.0 + hour * 3600.5, hour * RATE, 2, latency_s=hour / 10)
    assert stream.times[-1] == pytest.approx(23 * 3600.5 + 23 + 1 / RATE, abs=1e-3)


def test_a_session_that_seems_to_begin_before_the_last_frame_is_moved_as_a_whole() -> None:
    stream = Stream()
    stream.session(1000.0, 0, RATE)
    stream.session(1000.3, 0, RATE)
    gaps = [b - a for a, b in pairwise(stream.times)]
    assert gaps == pytest.approx([1 / RATE] * (2 * RATE - 1), abs=1e-4)


def test_without_an_arrival_it_is_the_moment_that_the_packet_came() -> None:
    stream = Stream()
    stream.session(1000.0, 0, 2, known=False)
    stream.session(1010.0, 0, 1, known=False)
    assert stream.times == pytest.approx([0.0, 0.04, 10.0], abs=1e-4)


def test_tracks_keep_their_distance_and_audio_sets_no_frames_time() -> None:
    clock = StreamClock()
    clock.frame_s = Fraction(1, RATE)
    audio = Packet(Track.AAC, b"", 48_000 * 90, Fraction(1, 48_000), True)
    frame = Packet(Track.OUTPUT, b"", 0, TICKS, True, arrived=1000.0)
    assert clock.placed(frame, 1000.2).pts == 0
    assert clock.placed(audio, 1000.3).pts == 90 * 48_000
    clock.begin_session()
    again = Packet(Track.OUTPUT, b"", 90_000, TICKS, True, arrived=1006.0, dts=86_400)
    assert clock.placed(again, 1006.2).pts == 6 * 90_000
    assert clock.placed(again, 1006.2).dts == 6 * 90_000 - 3600
    assert clock.placed(audio, 1006.2).pts == 95 * 48_000
