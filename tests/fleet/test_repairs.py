"""What has died in a simulated cluster is started again, whatever fails on the way."""

import pytest

pytest.importorskip("ray")

from streamsr.fleet.cluster.repairs import Repairs


def test_a_start_that_fails_is_tried_again_and_keeps_nothing_else_from_its_own() -> None:
    repairs, started = Repairs(), []

    def slow() -> None:
        started.append("host-1")
        raise RuntimeError("the raylet is not there within 30 s")

    for _ in range(2):
        repairs.look("host-1", slow, runs=False)
        repairs.look("host-2", lambda: started.append("host-2"), runs=False)
    assert started == ["host-1", "host-2"] * 2
    repairs.look("host-1", slow, runs=True)
    assert len(started) == 4, "it is there"


def test_what_has_just_died_is_left_for_a_while() -> None:
    repairs, started = Repairs(), []
    repairs.look("host-1", lambda: started.append(1), runs=False, after_s=60)
    assert started == []
