"""A source's time stamps on our clock."""

from itertools import pairwise
from random import Random

import pytest

from streamsr.core.clock_sync import JUMP_S, TICKS, ClockSync


def seconds(ticks: int) -> float:
    return float(ticks * TICKS)


def test_the_first_frame_is_tick_0_and_a_discontinuity() -> None:
    assert ClockSync().frame(1234.5, 99.0) == (0, True)


def test_the_networks_jitter_is_left_out() -> None:
    """Evenly stamped frames stay even, however they arrive."""
    clock, random = ClockSync(), Random(1)
    places = [clock.frame(7 + n / 25, 50 + n / 25 + random.uniform(0, 0.1)) for n in range(50)]
    start = places[0][0]
    assert [ticks - start for ticks, _ in places] == [3600 * n for n in range(50)]
    assert [discontinuous for _, discontinuous in places] == [True] + [False] * 49


def test_a_variable_rate_is_kept() -> None:
    clock = ClockSync()
    times = [0, 0.04, 0.08, 0.5, 0.54, 0.9]
    assert [clock.frame(t, 10 + t)[0] for t in times] == [round(t / TICKS) for t in times]


@pytest.mark.parametrize("stamps", [[5.0, 5.0, 5.0], [5.0, 4.96, 4.92], [5.0, 4.9, 5.04]])
def test_ticks_rise_whatever_the_camera_says(stamps: list[float]) -> None:
    clock = ClockSync()
    ticks = [clock.frame(s, 10 + n / 25)[0] for n, s in enumerate(stamps)]
    assert all(a < b for a, b in pairwise(ticks))


@pytest.mark.parametrize("jump", [2 * JUMP_S, -2 * JUMP_S, 95_443.7])
def test_a_jump_is_a_discontinuity_placed_by_arrival(jump: float) -> None:
    clock = ClockSync()
    for n in range(10):
        clock.frame(100 + n / 25, 10 + n / 25)
    ticks, discontinuous = clock.frame(100.4 + jump, 10.4)
    assert (seconds(ticks), discontinuous) == (pytest.approx(0.4, abs=1e-4), True)
    ticks, discontinuous = clock.frame(100.44 + jump, 10.44)  # from here on it is the clock
    assert (seconds(ticks), discontinuous) == (pytest.approx(0.44, abs=1e-4), False)


def test_a_reconnected_source_goes_on_at_our_clock() -> None:
    clock = ClockSync()
    for n in range(10):
        clock.frame(100 + n / 25, 10 + n / 25)
    clock.reconnected()
    assert clock.audio_s(0.0) is None
    ticks, discontinuous = clock.frame(0.0, 15.0)
    assert (seconds(ticks), discontinuous) == (pytest.approx(5.0, abs=1e-4), True)
    assert clock.audio_s(0.02) == pytest.approx(5.02)


@pytest.mark.parametrize("drift", [1.001, 0.999])
def test_a_drifting_clock_is_followed_slowly(drift: float) -> None:
    clock, before = ClockSync(), 0
    for n in range(1, 25_000):  # 1000 s: unfollowed, it would be a second off
        ticks, discontinuous = clock.frame(n / 25 * drift, n / 25)
        assert not discontinuous or n == 1
        if n > 1:
            assert seconds(ticks - before) == pytest.approx(0.04 * drift, abs=0.0011)
        before = ticks
    assert seconds(before) == pytest.approx(24_998 / 25, abs=0.21)


def test_frames_without_stamps_are_placed_by_arrival() -> None:
    clock = ClockSync()
    assert [clock.frame(None, 3 + t)[0] for t in (0, 0.04, 0.1)] == [0, 3600, 9000]


def test_audio_waits_for_a_frame_and_shares_its_clock() -> None:
    clock = ClockSync()
    assert clock.audio_s(5.0) is None
    clock.frame(5.0, 10.0)
    assert clock.audio_s(None) is None
    assert clock.audio_s(5.5) == pytest.approx(0.5)
