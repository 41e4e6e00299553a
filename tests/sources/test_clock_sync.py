"""A source's time stamps on our clock."""

from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.sources.timing.clock_sync import REACH_S, TICKS, ClockSync
from streamsr.sources.timing.timeline import APART_S


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


@pytest.mark.parametrize("jump", [2 * REACH_S, -2 * REACH_S, 95_443.7])
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
    assert clock.audio_s(0.0, 14.9) is None
    ticks, discontinuous = clock.frame(0.0, 15.0)
    assert (seconds(ticks), discontinuous) == (pytest.approx(5.0, abs=1e-4), True)
    assert clock.audio_s(0.02, 15.0) == pytest.approx(5.02)


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
    assert clock.audio_s(5.0, 9.9) is None
    clock.frame(5.0, 10.0)
    assert clock.audio_s(None, 10.0) is None
    assert clock.audio_s(5.5, 10.4) == pytest.approx(0.5)


def live(
    clock: ClockSync, stamps: list[tuple[str, float, float]]
) -> tuple[list[tuple[int, bool]], list[float]]:
    """What a clock makes of frames and audio: (track, stamp, arrival)."""
    frames, audio = [], []
    for track, stamp, arrived in stamps:
        if track == "video":
            frames.append(clock.frame(stamp, arrived))
        else:
            place = clock.audio_s(stamp, arrived)
            assert place is not None
            audio.append(place)
    return frames, audio


def camera(
    seconds: float, stamp_s: float, arrived_s: float, audio_lead_s: float = 0.0
) -> list[tuple[str, float, float]]:
    """A camera's packets, its audio muxed ``audio_lead_s`` before the frames beside it."""
    found = [("video", stamp_s + n / 25, arrived_s + n / 25) for n in range(round(seconds * 25))]
    pieces = round(seconds * 48_000 / 1024)
    times = [n * 1024 / 48_000 for n in range(pieces)]
    found += [("audio", stamp_s + t, arrived_s + t - audio_lead_s + 1e-6) for t in times]
    return sorted(found, key=lambda packet: packet[2])


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, -60.0, 8 * 3600, 1.5, -1.5, 2.5, -2.5])
@pytest.mark.parametrize("lead_s", [-0.3, 0.0, 0.3])
def test_audio_goes_over_a_jump_with_its_frames(jump_s: float, lead_s: float) -> None:
    """Whether it arrives a little before them or after them."""
    first = camera(3, 100, 10, lead_s)
    second = camera(3, 103 + jump_s, 13, lead_s)
    packets = sorted([*first, *second], key=lambda packet: packet[2])
    packets = [p for p in packets if p[2] >= 10]  # audio waits for the first frame
    frames, audio = live(ClockSync(), packets)
    assert [n for n, (_, broken) in enumerate(frames) if broken] == [0, 75]
    assert [seconds(t) for t, _ in frames] == pytest.approx([n / 25 for n in range(150)], abs=0.02)
    pieces = len(audio)
    assert audio[-50:] == pytest.approx([6 - (50 - n) * 1024 / 48_000 for n in range(50)], abs=0.02)
    assert all(-0.001 < b - a < 0.06 for a, b in pairwise(audio)), pieces


def test_a_wrap_is_no_jump() -> None:
    clock, wrap = ClockSync(), Fraction(2**33, 90_000)
    clock.reconnected(wrap_s=wrap)
    stamps = [("video", (float(wrap) - 2 + n / 25) % float(wrap), 10 + n / 25) for n in range(100)]
    frames, _ = live(clock, stamps)
    assert [t for t, _ in frames] == [3600 * n for n in range(100)]
    assert [broken for _, broken in frames] == [True] + [False] * 99


def test_invented_stamps_are_ignored() -> None:
    """FFmpeg says that a multipart JPEG stream has 25 frames a second, whatever it has."""
    clock = ClockSync()
    clock.reconnected(invented=True)
    frames, _ = live(clock, [("video", n / 25, 10 + n / 5) for n in range(50)])
    assert frames == [(18_000 * n, n == 0) for n in range(50)]


def test_stamps_that_jump_again_and_again_are_ignored() -> None:
    clock = ClockSync()
    frames, _ = live(clock, [("video", n / 25, 10 + n / 5) for n in range(500)])
    assert sum(broken for _, broken in frames) <= 5
    assert clock.by_arrival
    assert [t for t, _ in frames[200:]] == [18_000 * n for n in range(200, 500)]
    clock.reconnected()
    assert not clock.by_arrival


def test_a_burst_is_spread() -> None:
    """Five frames that the network held back for a second: none are shown at once."""
    clock = ClockSync()
    clock.reconnected(invented=True)
    arrivals = [10 + n / 5 if not 20 <= n < 25 else 15 for n in range(50)]
    ticks = [clock.frame(None, arrived)[0] for arrived in arrivals]
    assert min(b - a for a, b in pairwise(ticks)) >= 0.45 * 18_000
    assert ticks[-1] == pytest.approx(49 * 18_000, abs=18_000)


def test_one_stamp_that_falls_moves_nothing() -> None:
    clock = ClockSync()
    stamps = [100 + n / 25 for n in range(50)]
    stamps[20] -= 0.5
    frames, _ = live(clock, [("video", s, s - 90) for s in stamps[:20]])
    frames += live(clock, [("video", s, 10 + n / 25) for n, s in enumerate(stamps) if n >= 20])[0]
    assert [t for t, _ in frames[21:]] == [3600 * n for n in range(21, 50)]
    assert sum(broken for _, broken in frames) == 1


@pytest.mark.parametrize("off_s", [-3600.0, -1.5, -0.7, 0.5, 1.5, 3600.0])
@pytest.mark.parametrize("lead_s", [-0.3, 0.0, 0.3])
def test_a_live_stamp_that_stands_alone_moves_neither_frames_nor_audio(
    off_s: float, lead_s: float
) -> None:
    number = 12
    packets = [p for p in camera(3, 100, 10, lead_s) if p[2] >= 10]
    frame = [p for p in packets if p[0] == "video"][number]
    torn = [(t, s + off_s if (t, s, a) == frame else s, a) for t, s, a in packets]
    frames, audio = live(ClockSync(), torn)
    whole_frames, whole_audio = live(ClockSync(), packets)
    assert audio == pytest.approx(whole_audio, abs=0.003)
    expected = [seconds(t) for t, _ in whole_frames]
    gaps = [seconds(b - a) for (a, _), (b, _) in pairwise(frames)]
    assert min(gaps) >= 0.0199
    for n, (ticks, _) in enumerate(frames):
        most = 0.003 if n < number or n > number + 50 else 1.0
        assert seconds(ticks) == pytest.approx(expected[n], abs=most)


def test_ten_hours_of_29_97_are_exact() -> None:
    clock, rate, random = ClockSync(), Fraction(30_000, 1001), Random(2)
    for n in range(0, round(36_000 * rate), 15):
        jitter = random.uniform(0, 0.15) if n else 0.0
        ticks, _ = clock.frame(float(n / rate), 5 + float(n / rate) + jitter)
        assert ticks == 3003 * n


STAMPS = st.one_of(st.none(), st.floats(-1e9, 1e9), st.floats(0, 10), st.sampled_from([0.0, 5.0]))
PACKETS = st.lists(st.tuples(st.booleans(), STAMPS, st.floats(0, 3)), min_size=1, max_size=80)


@settings(max_examples=200, deadline=None)
@given(PACKETS, st.booleans())
def test_whatever_comes_is_near_its_arrival_and_frames_rise(
    packets: list[tuple[bool, float | None, float]], wraps: bool
) -> None:
    clock, arrived_s, last = ClockSync(), 100.0, -1
    clock.reconnected(wrap_s=Fraction(2**33, 90_000) if wraps else None)
    clock.frame(0.0, arrived_s)
    for is_video, stamp_s, later_s in packets:
        arrived_s += later_s
        if is_video:
            ticks, _ = clock.frame(stamp_s, arrived_s)
            assert last < ticks
            last = ticks
            assert seconds(ticks) - (arrived_s - 100) > -REACH_S - 0.01
        elif (place_s := clock.audio_s(stamp_s, arrived_s)) is not None:
            assert abs(place_s - (arrived_s - 100)) <= APART_S + 0.01
