"""When a stream falls back to a cheaper model and when it returns, by its counts alone."""

from itertools import pairwise

import pytest

from streamsr.pipeline.model_fallback import (
    MAX_RESTORE_AFTER_S,
    RESTORE_AFTER_S,
    RESTORED_S,
    ModelFallback,
)

RATE = 25


class Stream:
    """A device that takes ``capacity[model]`` frames a second, observed twice a second."""

    def __init__(self, capacity: list[float]) -> None:
        self.capacity = capacity
        self.fallback = ModelFallback(len(capacity))
        self.now_s = 0.0
        self.frames = self.dropped = 0.0
        self.changes: list[tuple[float, int]] = []  # when, and to which model

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            before = self.fallback.current
            self.now_s += 0.5
            self.frames += RATE / 2
            self.dropped += max(0.0, RATE - self.capacity[before]) / 2
            reason = self.fallback.observe(int(self.frames), int(self.dropped), 0, self.now_s)
            if reason is not None:
                self.changes.append((self.now_s, self.fallback.current))
                assert self.fallback.restored == (self.fallback.current < before)


def test_a_device_that_keeps_pace_never_falls_back() -> None:
    stream = Stream([25, 100])
    stream.run(600)
    assert stream.changes == []


def test_three_times_too_slow_falls_back_within_seconds() -> None:
    stream = Stream([8, 100])
    stream.run(5)
    assert [model for _, model in stream.changes] == [1]
    assert stream.changes[0][0] <= 2.5


def test_a_frame_that_takes_longer_than_an_observation_falls_back_too() -> None:
    fallback = ModelFallback(2)
    decided = dropped = 0
    for n in range(1, 17):
        if n % 3 == 0:  # every 1.5 s it takes the newest frame, and drops those before it
            decided, dropped = n * RATE // 2, n * RATE // 2 - n // 3
        reason = fallback.observe(decided, dropped, n % 3 * RATE // 2, n / 2)
        if reason is not None:
            break
    assert fallback.current == 1
    assert reason is not None
    assert "of the last 38 frames" in reason


def test_a_source_that_comes_in_bursts_is_no_slow_device() -> None:
    fallback = ModelFallback(2)
    for n in range(1, 121):
        bursts = (n + 3) // 4  # of 50 frames every two seconds: the queue holds half of one
        assert fallback.observe(50 * bursts, 25 * bursts, 0, n / 2) is None


def test_it_falls_back_as_far_as_it_must() -> None:
    stream = Stream([5, 10, 40])
    stream.run(10)
    assert [model for _, model in stream.changes] == [1, 2]


def test_there_is_nothing_below_the_cheapest_model() -> None:
    stream = Stream([5, 10])
    stream.run(60)
    assert max(model for _, model in stream.changes) == 1


def test_a_few_drops_are_no_overload() -> None:
    stream = Stream([23.5, 100])  # 6 % of the frames
    stream.run(120)
    assert stream.changes == []


def test_tries_of_a_better_model_become_rare() -> None:
    stream = Stream([8, 100])
    stream.run(1200)
    tries = [now for now, model in stream.changes if model == 0]
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert tries[0] - stream.changes[0][0] == pytest.approx(RESTORE_AFTER_S, abs=1)
    assert waits == sorted(waits)
    assert waits[-1] >= 0.8 * MAX_RESTORE_AFTER_S
    assert len(tries) <= 8


def test_the_model_is_restored_when_the_device_is_free_again_and_failed_tries_are_forgotten() -> (
    None
):
    stream = Stream([8, 100])
    stream.run(120)
    stream.capacity[0] = 50
    stream.run(MAX_RESTORE_AFTER_S + RESTORED_S)
    assert stream.fallback.current == 0
    stream.capacity[0] = 8
    before = len(stream.changes)
    stream.run(30)
    (down, _), (up, _) = stream.changes[before : before + 2]
    assert up - down == pytest.approx(RESTORE_AFTER_S, abs=1), "the wait is the first one again"


def test_a_single_model_is_never_changed() -> None:
    stream = Stream([5])
    stream.run(60)
    assert stream.changes == []


def test_no_models_are_refused() -> None:
    with pytest.raises(ValueError, match=r"models: got 0"):
        ModelFallback(0)
