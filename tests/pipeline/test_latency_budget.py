"""Which live frames are still worth upscaling."""

import pytest

from streamsr.core.metrics import quantile
from streamsr.pipeline.latency_budget import (
    LATE_SHARE,
    MAX_ERROR_BUDGET,
    PLANNED,
    REMEMBERED,
    LatencyBudget,
)


@pytest.fixture
def budget() -> LatencyBudget:
    return LatencyBudget(0.5)


def test_before_any_was_served_every_frame_within_the_budget_is_in_time(
    budget: LatencyBudget,
) -> None:
    assert budget.is_in_time(0.5 * PLANNED)
    assert not budget.is_in_time(0.5 * PLANNED + 0.001)


def test_what_upscaling_takes_is_not_left_to_wait(
    budget: LatencyBudget,
) -> None:
    budget.served(0.3)
    assert budget.is_in_time(0.5 * PLANNED - 0.301)
    assert not budget.is_in_time(0.5 * PLANNED - 0.299)


def test_the_slowest_of_the_newest_frames_counts_and_is_forgotten(budget: LatencyBudget) -> None:
    budget.served(0.3)
    for _ in range(REMEMBERED - 1):
        budget.served(0.01)
    assert not budget.is_in_time(0.1)
    budget.served(0.01)
    assert budget.is_in_time(0.1)


def test_a_stall_drops_no_frame_and_lasting_overload_does() -> None:
    budget = LatencyBudget(0.5)
    assert not budget.is_in_time(10)
    for _ in range(round(2 * MAX_ERROR_BUDGET / LATE_SHARE)):
        assert budget.is_in_time(0)
    assert [budget.is_in_time(10) for _ in range(15)].count(True) == MAX_ERROR_BUDGET


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"budget_s: got 0"):
        LatencyBudget(0)


@pytest.mark.parametrize("took_s", [0.02, 0.1, 0.2, 0.35])
def test_in_simulation_frames_leave_within_the_budget(took_s: float) -> None:
    """Frames 40 ms apart, each served alone."""
    budget, free_s, latencies = LatencyBudget(0.5), 0.0, []
    waiting: list[float] = []
    for tick in range(4000):
        now_s = tick * 0.01
        if tick % 4 == 0:
            waiting.append(now_s)
        while waiting and now_s >= free_s:
            arrived_s = waiting.pop(0)
            if waiting and not budget.is_in_time(now_s - arrived_s):
                continue
            free_s = now_s + took_s
            budget.served(took_s)
            latencies.append(free_s - arrived_s)
    p99 = quantile(latencies, 0.99)
    assert p99 is not None
    assert p99 <= 0.5
    assert len(latencies) >= 0.9 * min(1000, 40 / (took_s + 0.01))
