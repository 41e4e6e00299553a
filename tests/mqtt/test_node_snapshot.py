"""The snapshot of a node's state, and what becomes of it when the node cannot be read."""

from fake_node import FakeNode, camera_state

from streamsr.mqtt.node_snapshot import NodeSnapshot


def test_a_refresh_reads_the_node() -> None:
    node = FakeNode("yard")
    failures: list[str] = []
    snapshot = NodeSnapshot(node, failures.append)
    assert (dict(snapshot.cameras), snapshot.models) == ({}, ())
    snapshot.refresh()
    assert snapshot.cameras == {"yard": camera_state("yard")}
    assert snapshot.models == ("edvr-m", "fast", "broken")
    assert failures == []


def test_what_cannot_be_read_stays_as_it_was() -> None:
    """A damaged card in a folder of models, say."""
    node = FakeNode("yard")
    failures: list[str] = []
    snapshot = NodeSnapshot(node, failures.append)
    snapshot.refresh()
    node.damage = "model x: its card is damaged"
    node.states["door"] = camera_state("door")
    for _ in range(3):
        snapshot.refresh()
    assert snapshot.cameras.keys() == {"yard", "door"}
    assert snapshot.models == ("edvr-m", "fast", "broken")
    reason = f"the node cannot be read, its last state is kept: {node.damage}"
    assert failures == [reason]
    node.damage = ""
    snapshot.refresh()
    node.damage = "model x: its card is damaged"
    snapshot.refresh()
    assert failures == [reason, "", reason]  # once for each time it fails
