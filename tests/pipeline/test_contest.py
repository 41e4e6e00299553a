"""When a network is said to lose to bicubic, and when to win again."""

from itertools import cycle, islice, pairwise

import pytest

from streamsr.pipeline.contest import CHECKS, Contest


def turns(contest: Contest, gains_db: list[float]) -> list[tuple[int, bool]]:
    """The checks that turned the contest, counted from 1, and whether it loses from there on."""
    numbered = enumerate(gains_db, 1)
    return [(n, contest.loses) for n, gain_db in numbered if contest.take(gain_db) is not None]


def test_a_network_that_wins_has_no_turn() -> None:
    contest = Contest()
    assert turns(contest, [0.4, 1.2] * 50) == []
    assert (contest.loses, contest.newest_db) == (False, 1.2)


def test_one_that_loses_is_told_of_once_and_not_before_there_are_enough_checks() -> None:
    contest = Contest()
    assert turns(contest, [-0.5] * 100) == [(CHECKS, True)]
    assert contest.loses


def test_the_median_decides_and_is_given() -> None:
    gains_db = [-9.0, *[0.1] * (CHECKS // 2), *[-0.3] * (CHECKS // 2)]
    contest = Contest()
    assert [contest.take(gain_db) for gain_db in gains_db] == [None] * (CHECKS - 1) + [-0.3]
    assert turns(Contest(), [0.1, *[0.1] * (CHECKS // 2), *[-0.3] * (CHECKS // 2)]) == []


def test_one_bad_hour_is_forgotten() -> None:
    few = CHECKS // 2
    assert turns(Contest(), ([-3.0] * few + [0.2] * (few + 1)) * 9) == []


def test_it_turns_again_only_after_as_many_checks_anew() -> None:
    contest = Contest()
    assert turns(contest, [-0.5] * CHECKS + [0.5] * 100) == [(CHECKS, True), (2 * CHECKS, False)]
    assert turns(contest, [-0.5] * 100) == [(CHECKS // 2 + 1, True)]  # the median of the last ones


def test_checks_that_alternate_turn_it_seldom() -> None:
    alternating = list(islice(cycle([-0.5, 0.4]), 50 * CHECKS))
    said = turns(Contest(), alternating)
    assert len(said) <= 50
    assert all(later - earlier >= CHECKS for (earlier, _), (later, _) in pairwise(said))


@pytest.mark.parametrize("level", [0.0, 1e-9])
def test_what_is_level_with_bicubic_does_not_lose(level: float) -> None:
    assert turns(Contest(), [level] * 50) == []


def test_a_check_without_a_figure_takes_the_last_one_away_and_decides_nothing() -> None:
    contest = Contest()
    turns(contest, [-0.5] * (CHECKS - 1))
    contest.miss()
    assert (contest.newest_db, contest.loses) == (None, False)
    assert contest.take(-0.5) == -0.5
