"""benchmarks/fleet.py: in small, what it measures of a thousand cameras."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fleet import FAULTS, percentile, simulate, table


@pytest.mark.parametrize("seed", [1, 2])
def test_a_fleet_that_fails_in_every_way_recovers_with_few_moves(seed: int) -> None:
    results = simulate(200, 10, len(FAULTS) + 1, seed)
    assert results.faults == []
    assert results.waiting == 0
    assert len(results.recovered_s) == sum(results.least)
    assert percentile(results.recovered_s, 0.99) <= 10.0
    assert max(results.imbalances) <= 0.1
    assert results.moves_by_least <= 1.1
    assert "| time to recover" in table(200, 10, 6, results)
