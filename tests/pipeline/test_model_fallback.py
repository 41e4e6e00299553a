"""When a stream steps down and up, told by its counts alone."""

from itertools import pairwise

import pytest

from streamsr.pipeline.model_fallback import CALM_S, HELD_S, LONGEST_CALM_S, ModelFallback

RATE = 25


class Stream:
    """A device that keeps ``capacity[step]`` of every second's frames, observed twice a second."""

    def __init__(self, capacity: list[float]) -> None:
        self.capacity = capacity
        self.ladder = ModelFallback(len(capacity))
        self.now_s = 0.0
        self.frames = self.dropped = 0.0
        self.moves: list[tuple[float, int]] = []

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.now_s += 0.5
            self.frames += RATE / 2
            self.dropped += max(0.0, RATE - self.capacity[self.ladder.step]) / 2
            reason = self.ladder.observe(int(self.frames), int(self.dropped), 0, self.now_s)
            if reason is not None:
                self.moves.append((self.now_s, self.ladder.step))


def test_a_device_that_keeps_pace_never_steps() -> None:
    stream = Stream([25, 100])
    stream.run(600)
    assert stream.moves == []


def test_three_times_too_slow_steps_down_within_seconds() -> None:
    stream = Stream([8, 100])
    stream.run(5)
    assert [step for _, step in stream.moves] == [1]
    assert stream.moves[0][0] <= 2.5


def test_a_frame_that_takes_longer_than_a_look_steps_down_too() -> None:
    ladder = ModelFallback(2)
    decided = dropped = 0
    for look in range(1, 17):
        if look % 3 == 0:  # every 1.5 s it takes the newest frame, and drops those before it
            decided, dropped = look * RATE // 2, look * RATE // 2 - look // 3
        reason = ladder.observe(decided, dropped, look % 3 * RATE // 2, look / 2)
        if reason is not None:
            break
    assert ladder.step == 1
    assert reason is not None
    assert "of the last 38 frames" in reason


def test_a_source_that_comes_in_bursts_is_no_slow_device() -> None:
    ladder = ModelFallback(2)
    for look in range(1, 121):
        bursts = (look + 3) // 4  # of 50 frames every two seconds: the queue holds half of one
        assert ladder.observe(50 * bursts, 25 * bursts, 0, look / 2) is None


def test_it_steps_down_as_far_as_it_must() -> None:
    stream = Stream([5, 10, 40])
    stream.run(10)
    assert [step for _, step in stream.moves] == [1, 2]


def test_there_is_nothing_below_the_last_step() -> None:
    stream = Stream([5, 10])
    stream.run(60)
    assert max(step for _, step in stream.moves) == 1


def test_a_few_drops_are_no_overload() -> None:
    stream = Stream([23.5, 100])  # 6 % of the frames
    stream.run(120)
    assert stream.moves == []


def test_tries_to_step_up_become_rare() -> None:
    stream = Stream([8, 100])
    stream.run(1200)
    ups = [now for now, step in stream.moves if step == 0]
    waits = [later - earlier for earlier, later in pairwise(ups)]
    assert ups[0] - stream.moves[0][0] == pytest.approx(CALM_S, abs=1)
    assert waits == sorted(waits)
    assert waits[-1] >= 0.8 * LONGEST_CALM_S
    assert len(ups) <= 8


def test_it_returns_when_the_device_is_free_again_and_forgets() -> None:
    stream = Stream([8, 100])
    stream.run(120)
    stream.capacity[0] = 50
    stream.run(LONGEST_CALM_S + HELD_S)
    assert stream.ladder.step == 0
    stream.capacity[0] = 8
    before = len(stream.moves)
    stream.run(30)
    (down, _), (up, _) = stream.moves[before : before + 2]
    assert up - down == pytest.approx(CALM_S, abs=1), "the wait is the first one again"


def test_one_step_never_moves() -> None:
    stream = Stream([5])
    stream.run(60)
    assert stream.moves == []


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"steps: got 0"):
        ModelFallback(0)
