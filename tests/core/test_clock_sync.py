"""A source's time stamps on our clock."""

from itertools import pairwise
from random import Random

import pytest

from streamsr.core.clock_sync import JUMP_S, TICKS, ClockSync


def seconds(ticks: int) -> float:
    return float(ticks * TICKS)


def test_the_first_picture_is_tick_0_and_a_break() -> None:
    assert ClockSync().picture(1234.5, 99.0) == (0, True)


def test_the_networks_jitter_is_left_out() -> None:
    """Evenly stamped pictures stay even, however they arrive."""
    timeline, random = ClockSync(), Random(1)
    places = [timeline.picture(7 + n / 25, 50 + n / 25 + random.uniform(0, 0.1)) for n in range(50)]
    start = places[0][0]
    assert [ticks - start for ticks, _ in places] == [3600 * n for n in range(50)]
    assert [broken for _, broken in places] == [True] + [False] * 49


def test_a_variable_rate_is_kept() -> None:
    timeline = ClockSync()
    times = [0, 0.04, 0.08, 0.5, 0.54, 0.9]
    assert [timeline.picture(t, 10 + t)[0] for t in times] == [round(t / TICKS) for t in times]


@pytest.mark.parametrize("stamps", [[5.0, 5.0, 5.0], [5.0, 4.96, 4.92], [5.0, 4.9, 5.04]])
def test_ticks_rise_whatever_the_camera_says(stamps: list[float]) -> None:
    timeline = ClockSync()
    ticks = [timeline.picture(s, 10 + n / 25)[0] for n, s in enumerate(stamps)]
    assert all(a < b for a, b in pairwise(ticks))


@pytest.mark.parametrize("jump", [2 * JUMP_S, -2 * JUMP_S, 95_443.7])
def test_a_jump_is_a_break_placed_by_arrival(jump: float) -> None:
    timeline = ClockSync()
    for n in range(10):
        timeline.picture(100 + n / 25, 10 + n / 25)
    ticks, broken = timeline.picture(100.4 + jump, 10.4)
    assert (seconds(ticks), broken) == (pytest.approx(0.4, abs=1e-4), True)
    ticks, broken = timeline.picture(100.44 + jump, 10.44)  # from here on it is the clock
    assert (seconds(ticks), broken) == (pytest.approx(0.44, abs=1e-4), False)


def test_a_reconnected_source_goes_on_at_our_clock() -> None:
    timeline = ClockSync()
    for n in range(10):
        timeline.picture(100 + n / 25, 10 + n / 25)
    timeline.reconnected()
    assert timeline.audio_s(0.0) is None
    ticks, broken = timeline.picture(0.0, 15.0)
    assert (seconds(ticks), broken) == (pytest.approx(5.0, abs=1e-4), True)
    assert timeline.audio_s(0.02) == pytest.approx(5.02)


@pytest.mark.parametrize("drift", [1.001, 0.999])
def test_a_drifting_clock_is_followed_slowly(drift: float) -> None:
    timeline, before = ClockSync(), 0
    for n in range(1, 25_000):  # 1000 s: unfollowed, it would be a second off
        ticks, broken = timeline.picture(n / 25 * drift, n / 25)
        assert not broken or n == 1
        if n > 1:
            assert seconds(ticks - before) == pytest.approx(0.04 * drift, abs=0.0011)
        before = ticks
    assert seconds(before) == pytest.approx(24_998 / 25, abs=0.21)


def test_pictures_without_stamps_are_placed_by_arrival() -> None:
    timeline = ClockSync()
    assert [timeline.picture(None, 3 + t)[0] for t in (0, 0.04, 0.1)] == [0, 3600, 9000]


def test_audio_waits_for_a_picture_and_shares_its_clock() -> None:
    timeline = ClockSync()
    assert timeline.audio_s(5.0) is None
    timeline.picture(5.0, 10.0)
    assert timeline.audio_s(None) is None
    assert timeline.audio_s(5.5) == pytest.approx(0.5)
