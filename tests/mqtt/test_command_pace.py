"""A flood is told from what is usual."""

import pytest

from streamsr.mqtt.pace import Pace


@pytest.mark.parametrize(
    ("per_s", "flood"), [(1, False), (50, False), (99, False), (200, True), (1000, True)]
)
def test_a_steady_stream(per_s: int, flood: bool) -> None:
    pace = Pace()
    seen = [pace.flooded(1, number / per_s) for number in range(per_s * 3)]
    assert any(seen) is flood
    assert all(seen[-per_s:]) is flood  # it stays so


def test_a_few_at_once_are_no_flood_and_many_are() -> None:
    pace = Pace()
    assert not pace.flooded(20, 0.0)
    assert pace.flooded(20, 0.001)


def test_a_flood_ends() -> None:
    pace = Pace()
    assert pace.flooded(100_000, 0.0)
    assert not pace.flooded(1, 0.3)
