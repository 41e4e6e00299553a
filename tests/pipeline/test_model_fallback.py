"""When a stream falls back to another model and when it returns: by its counts and its checks."""

from collections.abc import Set
from itertools import chain, combinations, pairwise, product

import pytest

from streamsr.pipeline.model_fallback import (
    MAX_RESTORE_AFTER_S,
    RESTORE_AFTER_S,
    RESTORED_S,
    ModelFallback,
)

RATE = 25


class Stream:
    """A device that takes ``capacity[model]`` frames a second, observed twice a second, and the
    models that lose to plain scaling."""

    def __init__(self, capacity: list[float], losing: Set[int] = frozenset()) -> None:
        self.capacity = capacity
        self.losing = losing
        self.fallback = ModelFallback(len(capacity))
        self.now_s = 0.0
        self.frames = self.dropped = 0.0
        self.changes: list[tuple[float, int]] = []  # when, and to which model
        self.reasons: list[str] = []
        self.ran: list[int] = []  # by observation

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            before = self.fallback.current
            self.now_s += 0.5
            self.frames += RATE / 2
            self.dropped += max(0.0, RATE - self.capacity[before]) / 2
            reason = self.fallback.observe(
                int(self.frames), int(self.dropped), 0, self.now_s, self.losing
            )
            self.ran.append(self.fallback.current)
            assert (reason is None) == (self.fallback.current == before)
            if reason is not None:
                self.reasons.append(reason)
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


def test_what_loses_is_left_at_once_and_not_tried_until_it_wins() -> None:
    stream = Stream([50, 50, 50])
    stream.run(10)
    stream.losing = {0}
    stream.run(600)
    stream.losing = set()
    stream.run(1)
    assert [model for _, model in stream.changes] == [1, 0]
    assert stream.changes[0][0] == 10.5
    assert stream.changes[1][0] == 610.5
    assert "worse than plain scaling on this stream" in stream.reasons[0]
    assert "better than plain scaling again" in stream.reasons[1]


def test_models_that_lose_are_passed_over_save_the_last_one() -> None:
    stream = Stream([50, 50, 50], {0, 1, 2})
    stream.run(600)
    assert [model for _, model in stream.changes] == [2]


def test_the_last_one_is_never_left_for_losing() -> None:
    stream = Stream([50], {0})
    stream.run(60)
    assert stream.changes == []


def test_overload_falls_back_past_what_loses_and_returns_past_it() -> None:
    stream = Stream([8, 50, 100], {1})
    stream.run(5)
    assert [model for _, model in stream.changes] == [2]
    stream.capacity[0] = 50
    stream.run(2 * RESTORE_AFTER_S)
    assert [model for _, model in stream.changes] == [2, 0]


def test_a_model_that_wins_again_does_not_run_where_the_device_is_too_slow_for_it() -> None:
    """Its next try is overload's, after as long a calm as after any other failure."""
    stream = Stream([8, 50])
    stream.run(5)
    (fell_s, _), *_ = stream.changes
    stream.losing = {0}
    stream.run(300)
    assert len(stream.changes) == 1, "what loses is not tried"
    stream.losing = set()
    stream.run(1)
    assert stream.reasons[1] == "no frame was late for 10 s"
    stream.run(5)
    assert [model for _, model in stream.changes] == [1, 0, 1]
    assert fell_s < 5


SITUATIONS = list(
    product(
        range(4),  # models, the best ones, that the device is too slow for
        [set(s) for s in chain.from_iterable(combinations(range(3), n) for n in range(4))],
    )
)


@pytest.mark.parametrize(("slow", "losing"), SITUATIONS)
def test_the_best_model_that_is_held_and_wins_runs_whatever_was_before(
    slow: int, losing: set[int]
) -> None:
    """Of three models, after each of all the situations that there are."""
    wanted = next((n for n in range(slow, 2) if n not in losing), 2)
    for slow_before, losing_before in SITUATIONS:
        stream = Stream([8.0 if n < slow_before else 50.0 for n in range(3)], losing_before)
        stream.run(45)
        stream.capacity = [8.0 if n < slow else 50.0 for n in range(3)]
        stream.losing = losing
        before, ran_before = len(stream.changes), len(stream.ran)
        stream.run(400)
        ran = stream.ran[ran_before:]
        assert not {0, 1} & losing & set(ran), "what loses has run"
        late = ran[300:]  # what was tried too early before is forgotten
        assert late.count(wanted) > 0.9 * len(late)
        assert {n for n in late if n > wanted} == set()
        assert all(n < slow for n in late if n < wanted), "a try, of what is only too slow"
        assert len(stream.changes) - before <= 14
