"""Times of what is published, over both tracks."""

import pytest

from streamsr.serve.whip.rtp_clock import RtpClock

RATES = {"video": 90_000, "audio": 48_000}
NTP_S = 1 << 32


def test_frames_keep_their_distance_however_they_arrive() -> None:
    clock = RtpClock(RATES)
    times = [clock.time_s("video", 1000 + n * 3600, 50.0 + n * 0.04 + n % 3) for n in range(10)]
    assert times == pytest.approx([50 + n * 0.04 for n in range(10)])


def test_stamps_wrap() -> None:
    clock = RtpClock(RATES)
    first = (1 << 32) - 3600
    times = [clock.time_s("video", (first + n * 3600) % (1 << 32), 1.0) for n in range(4)]
    assert times == pytest.approx([1.0, 1.04, 1.08, 1.12])


def test_reports_put_the_audio_where_it_belongs() -> None:
    clock = RtpClock(RATES)
    assert clock.time_s("video", 0, 10.0) == 10.0
    assert clock.time_s("audio", 0, 10.3) == pytest.approx(10.3), "nothing better is known"
    clock.report("video", 100 * NTP_S, 0)
    assert clock.time_s("audio", 960, 10.32) == pytest.approx(10.32)
    clock.report("audio", round(100.1 * NTP_S), 0)  # it was taken 0.1 s after the frame
    assert clock.time_s("audio", 1920, 10.34) == pytest.approx(10.14, abs=1e-6)
    assert clock.time_s("video", 3600, 10.04) == pytest.approx(10.04), "the video stays"


def test_reports_that_come_first_count_too() -> None:
    clock = RtpClock(RATES)
    clock.report("audio", 100 * NTP_S, 48_000)
    clock.report("video", 100 * NTP_S, 90_000)
    assert clock.time_s("audio", 48_000, 7.0) == pytest.approx(7.0)
    assert clock.time_s("video", 90_000, 7.5) == pytest.approx(7.5)
    assert clock.time_s("audio", 96_000, 8.0) == pytest.approx(8.5), "a second after the frame"


def test_a_publisher_without_audio() -> None:
    clock = RtpClock({"video": 90_000})
    clock.report("video", NTP_S, 0)
    assert clock.time_s("video", 0, 3.0) == 3.0
