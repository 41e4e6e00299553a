"""How long the parts of a frame's way took, and when the newest frames passed."""

import gc
from collections import deque
from dataclasses import replace
from fractions import Fraction

import pytest

from streamsr.core.packet import Packet, Track
from streamsr.ipc.frame_traces import KEPT, FrameTraces, Leg

UNIX = 1_700_000_000.0  # when the monotonic clock was 0
FRAME = Packet(
    Track.OUTPUT, b"", 9000, Fraction(1, 90_000), True, arrived=10.0, upscaled=10.03, encoded=10.04
)


class Clock:
    now = 10.05

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return UNIX + self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def traces(clock: Clock) -> FrameTraces:
    return FrameTraces(clock.monotonic, clock.wall)


def test_each_part_is_told_apart(traces: FrameTraces) -> None:
    traces.note(replace(FRAME, captured=UNIX + 9.8))
    taken = {leg: found.total_s for leg, found in traces.legs.items()}
    assert taken == {
        Leg.CAMERA: pytest.approx(0.2),
        Leg.ENGINE: pytest.approx(0.03),
        Leg.ENCODER: pytest.approx(0.01),
        Leg.SENDING: pytest.approx(0.01),
        Leg.WHOLE: pytest.approx(0.05),
    }
    (frame,) = traces.newest()
    assert frame.captured == UNIX + 9.8
    assert frame.arrived == pytest.approx(UNIX + 10.0)
    assert frame.sent == pytest.approx(UNIX + 10.05)
    assert frame.pts * frame.time_base == Fraction(1, 10)


@pytest.mark.parametrize("captured", [0.0, UNIX - 86_400, UNIX + 3600])
def test_a_camera_without_a_clock_that_is_set_has_no_part(
    traces: FrameTraces, captured: float
) -> None:
    traces.note(replace(FRAME, captured=captured))
    assert Leg.CAMERA not in traces.legs


def test_buckets_count_what_took_at_most_so_long(traces: FrameTraces) -> None:
    for _ in range(3):
        traces.note(FRAME)
    traces.note(replace(FRAME, arrived=1.0))
    buckets = dict(traces.legs[Leg.WHOLE].buckets())
    assert (buckets["0.03"], buckets["0.075"], buckets["5"], buckets["+Inf"]) == (0, 3, 3, 4)


def test_the_input_audio_and_what_came_from_no_frame_are_left_out(traces: FrameTraces) -> None:
    for packet in (
        replace(FRAME, track=Track.INPUT),
        replace(FRAME, track=Track.OPUS),
        replace(FRAME, arrived=0.0),
    ):
        traces.note(packet)
    assert traces.newest() == []
    assert not traces.legs


def test_no_video_is_kept(traces: FrameTraces) -> None:
    packet = replace(FRAME, data=b"video of one frame")
    traces.note(packet)
    gc.collect()
    assert not [found for found in gc.get_referrers(packet) if isinstance(found, deque | tuple)]


def test_the_newest_are_kept(traces: FrameTraces) -> None:
    for number in range(KEPT + 10):
        traces.note(replace(FRAME, pts=number))
    assert [frame.pts for frame in traces.newest(2)] == [KEPT + 8, KEPT + 9]
    assert len(traces.newest()) == KEPT
