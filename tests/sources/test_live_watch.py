"""Silence is measured against a camera's own rhythm, and what it waits for is told once."""

from itertools import count

import pytest

from streamsr.core.errors import SourceError
from streamsr.sources.live_watch import LiveTimeouts, LiveWatch

LIMITS = LiveTimeouts()


def watch_at(rate: float, seconds: float) -> LiveWatch:
    """A camera of that rate which has sent so many seconds of frames, the last at ``seconds``."""
    watch = LiveWatch(0.0, LIMITS)
    for number in count():
        now = number / rate
        if now > seconds:
            return watch
        watch.arrived(now, now - 0.01)
        watch.video(now, keyframe=number == 0)
        watch.check(now)
        watch.delivered(now)
    raise AssertionError


def gives_up_at(watch: LiveWatch, start: float) -> float:
    for tenth in range(2000):
        try:
            watch.check(start + tenth / 10)
        except SourceError:
            return tenth / 10
    return float("inf")


@pytest.mark.parametrize(
    ("rate", "limit_s"), [(25, 4.0), (5, 4.0), (1, 4.0), (0.5, 6.0), (0.2, 15.0), (0.05, 60.0)]
)
def test_silence_is_three_of_the_cameras_own_intervals(rate: float, limit_s: float) -> None:
    end = 8 / rate
    assert gives_up_at(watch_at(rate, end), end) == pytest.approx(limit_s, abs=0.11)


@pytest.mark.parametrize("rate", [0.2, 0.25, 1, 5, 25])
def test_a_steady_camera_is_never_given_up(rate: float) -> None:
    watch = watch_at(rate, 60)
    assert watch.waits_for(60 + 0.9 / rate) is None


def test_a_trickle_is_no_rhythm() -> None:
    watch, now = watch_at(25, 10), 10.0

    def send() -> None:
        nonlocal now
        while now < 40:
            now += 2.0
            watch.arrived(now, now - 0.01)
            watch.video(now, keyframe=False)
            watch.check(now)
            watch.delivered(now)

    with pytest.raises(SourceError, match="frames came in 8 s"):
        send()
    assert now <= 10 + 12


def test_a_keyframe_is_waited_for_while_video_comes() -> None:
    watch, told = LiveWatch(0.0, LIMITS), []
    for number in range(20 * 25):
        now = number / 25
        watch.arrived(now, now - 0.01)
        watch.video(now, keyframe=False)
        watch.check(now)
        told.append(watch.waits_for(now))
    assert [text for text in told if text] == [
        "video comes; waiting for its next keyframe, which frames can be shown from"
    ]


@pytest.mark.parametrize(
    ("keyframe_every", "limit_s", "words"),
    [(10_000, LIMITS.keyframe_s, "no keyframe"), (25, LIMITS.damaged_s + 1, "no whole frame")],
)
def test_video_that_shows_nothing_is_given_up(
    keyframe_every: int, limit_s: float, words: str
) -> None:
    watch, now = LiveWatch(0.0, LIMITS), 0.0

    def send() -> None:
        nonlocal now
        for number in range(1, 5000):
            now = number / 25
            watch.arrived(now, now - 0.01)
            watch.video(now, keyframe=number % keyframe_every == 0)
            watch.check(now)

    with pytest.raises(SourceError, match=f"video comes, but {words} for"):
        send()
    assert now == pytest.approx(limit_s, abs=1)


def test_a_mute_connection_is_given_up() -> None:
    watch = LiveWatch(0.0, LIMITS)
    assert watch.waits_for(1.0) is None
    assert watch.waits_for(2.3) == "connected; waiting for its first packet of video"
    assert gives_up_at(watch, 0.0) <= 11
