"""Which live frames are still worth their time."""

import pytest

from streamsr.budget import REMEMBERED, SHARE, Budget


def test_without_experience_any_frame_within_the_budget_is_worth_it() -> None:
    budget = Budget(0.5)
    assert budget.admits(0.5 * SHARE)
    assert not budget.admits(0.5 * SHARE + 0.001)


def test_what_the_way_takes_is_left_out_of_what_a_frame_may_have_waited() -> None:
    budget = Budget(0.5)
    budget.served(0.3)
    assert budget.admits(0.12)
    assert not budget.admits(0.13)


def test_the_slowest_of_the_newest_frames_counts_and_is_forgotten() -> None:
    budget = Budget(0.5)
    budget.served(0.4)
    for _ in range(REMEMBERED - 1):
        budget.served(0.01)
    assert not budget.admits(0.1)
    budget.served(0.01)
    assert budget.admits(0.1)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"budget_s: got 0"):
        Budget(0)


@pytest.mark.parametrize("took_s", [0.02, 0.1, 0.2, 0.35])
def test_in_simulation_frames_leave_within_the_budget(took_s: float) -> None:
    """Frames 40 ms apart, each served alone: none that is admitted with a newer one waiting
    is later than the budget."""
    budget, free_s, latencies = Budget(0.5), 0.0, []
    waiting: list[float] = []
    for tick in range(4000):
        now_s = tick * 0.01
        if tick % 4 == 0:
            waiting.append(now_s)
        while waiting and now_s >= free_s:
            arrived_s = waiting.pop(0)
            if waiting and not budget.admits(now_s - arrived_s):
                continue
            free_s = now_s + took_s
            budget.served(took_s)
            latencies.append(free_s - arrived_s)
    assert max(latencies) <= 0.5
    assert len(latencies) >= 0.9 * min(1000, 40 / (took_s + 0.01))
