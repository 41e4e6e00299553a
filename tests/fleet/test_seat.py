"""Which machine the controller runs on."""

import pytest

pytest.importorskip("ray")

from streamsr.fleet.cluster.controller_actor import seat_of
from streamsr.fleet.cluster.gcs import RayNode


def node(name: str, cpus: float, *, head: bool = False) -> RayNode:
    return RayNode(name, name, {}, cpus, 0.0, head)


def test_the_controller_runs_where_no_camera_does_and_there_at_the_head() -> None:
    hosts = [node("a", 8), node("b", 2)]
    assert seat_of([*hosts, node("z", 0, head=True), node("c", 0)]) == node("z", 0, head=True)
    assert seat_of([*hosts, node("z", 8, head=True), node("c", 0)]) == node("c", 0)
    assert seat_of([*hosts, node("z", 8, head=True)]) == node("z", 8, head=True)
    assert seat_of(hosts) in hosts
    assert seat_of([]) is None
