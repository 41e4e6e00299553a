"""benchmarks/fleet.py: in small, what it measures of a thousand cameras."""

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fleet import CONTROLLER, Results, World, fails, percentile, simulate, table


@pytest.mark.parametrize("seed", [1, 2])
def test_a_fleet_that_fails_in_every_way_recovers_with_few_moves(seed: int) -> None:
    results = simulate(200, 10, len(CONTROLLER), seed)
    assert results.missed() == []
    assert len(results.recovered_s) + len(results.recovered_both_s) == sum(results.least)
    assert percentile(results.recovered_s, 0.99) <= 10.0
    assert results.recovered_both_s
    assert "| time to recover" in table(200, 10, 6, results)


def test_a_camera_that_never_comes_back_is_no_recovery() -> None:
    world, results = World(20, 3, 1), Results()
    world.fleet.run(40.0)
    world.fleet.start_s = (100.0, 100.0)
    fails(world, "kill", "runs", results)
    assert results.recovered_s
    assert not math.isfinite(max(results.recovered_s))
    assert "recovery" in results.missed()
