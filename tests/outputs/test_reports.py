"""A server that stops reporting is missed; one that never did is not."""

import pytest

from streamsr.outputs.reports import ENOUGH, SILENCE_S, Reports


def when_missed(reports: Reports, heard: list[float]) -> float:
    """The first second at which it is overdue, having been heard at those times; else 1000."""
    for now in range(1000):
        before = [time for time in heard if time <= now]
        if before and reports.overdue(before[-1], float(now)):
            return float(now)
    return 1000.0


@pytest.mark.parametrize("every_s", [2.5, 5, 10])
def test_one_that_reported_is_missed(every_s: float) -> None:
    heard = [every_s * n for n in range(ENOUGH + 3)]
    missed_s = when_missed(Reports(), heard) - heard[-1]
    assert missed_s == pytest.approx(max(SILENCE_S, 3 * every_s), abs=1.5)


@pytest.mark.parametrize("heard", [[0.0], [0.0, 0.1, 0.2, 0.3, 0.4], [0.0, 3.0, 6.0]])
def test_one_that_never_did_is_not(heard: list[float]) -> None:
    assert when_missed(Reports(), heard) == 1000


def test_one_that_goes_on_is_not() -> None:
    assert when_missed(Reports(), [5.0 * n for n in range(200)]) == 1000
