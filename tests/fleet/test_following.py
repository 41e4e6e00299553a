"""What ``fleet run`` does while it follows a fleet: it tells it again what it has lost."""

from pathlib import Path

import pytest

pytest.importorskip("ray")

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.settings.fleet import FleetSettings
from streamsr.fleet.cluster import running
from streamsr.fleet.cluster.client import FleetClient, GoneError
from streamsr.fleet.cluster.running import FleetFile, Follower
from streamsr.fleet.messages import FleetStatus, Wanted

SETTINGS = FleetSettings.model_validate(
    {"streams": [{"name": "gate", "input": {"url": "demo"}, "model": {"name": "bicubic"}}]}
)


class Fleet(FleetClient):
    """One whose controller is here, and may be away."""

    def __init__(self) -> None:
        self.version = 4
        self.error: Exception | None = None
        self.joined: list[str] = []
        self.cluster_is_there = True
        self.cameras: list[str] = []

    def status(self) -> FleetStatus:
        if self.error is not None:
            raise self.error
        return FleetStatus(self.version, (), ())

    def want(self, wanted: Wanted) -> int:
        self.version += 1
        self.cameras = [camera.name for camera in wanted.cameras]
        return self.version

    def join_again(self, address: str) -> None:
        self.joined.append(address)
        if not self.cluster_is_there:
            raise UserError("no cluster answers")
        self.error, self.version = None, 0


def follower(fleet: Fleet, tmp_path: Path) -> Follower:
    path = tmp_path / "fleet.toml"
    path.touch()
    return Follower(fleet, FleetFile(lambda: SETTINGS, path, SETTINGS), "head:6379", 4)


def test_a_fleet_that_has_lost_its_state_is_told_again(tmp_path: Path) -> None:
    fleet = Fleet()
    following = follower(fleet, tmp_path)
    following.look()
    assert fleet.cameras == []
    fleet.version = 0
    following.look()
    assert fleet.cameras == ["gate"]


def test_a_cluster_that_was_away_is_joined_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet()
    following = follower(fleet, tmp_path)
    fleet.error, fleet.cluster_is_there = StreamsrError("no answer"), False
    following.look()
    assert fleet.joined == [], "it may be back in a moment"
    monkeypatch.setattr(running, "AWAY_S", 0.0)
    for _ in range(3):
        following.look()
    fleet.cluster_is_there = True
    following.look()
    assert fleet.joined == 4 * ["head:6379"]
    assert fleet.cameras == ["gate"], "the next controller is told what there is to run"
    assert not following.ended


def test_a_fleet_that_somebody_ended_is_followed_no_more(tmp_path: Path) -> None:
    fleet = Fleet()
    following = follower(fleet, tmp_path)
    fleet.error = GoneError("it has ended")
    following.look()
    assert following.ended
