"""Delays between tries."""

from random import Random

import pytest

from streamsr.core.backoff import Backoff


@pytest.mark.parametrize("seed", range(5))
def test_delays_double_to_the_last_and_stay_there(seed: int) -> None:
    backoff = Backoff(0.5, 5.0, Random(seed))
    for full in (0.5, 1, 2, 4, 5, 5, 5):
        assert 0.75 * full <= backoff.next_s() <= full


def test_it_never_gives_up() -> None:
    backoff = Backoff(0.5, 5.0, Random(1))
    assert all(backoff.next_s() <= 5 for _ in range(10_000))


def test_a_success_starts_anew() -> None:
    backoff = Backoff(0.5, 5.0, Random(2))
    for _ in range(6):
        backoff.next_s()
    backoff.succeeded()
    assert backoff.next_s() <= 0.5


def test_two_that_failed_together_do_not_come_back_together() -> None:
    one, other = Backoff(random=Random(3)), Backoff(random=Random(4))
    assert [one.next_s() for _ in range(4)] != [other.next_s() for _ in range(4)]
