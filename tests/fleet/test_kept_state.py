"""The file of a fleet's state: each fleet's own, whoever else runs one on the machine."""

from pathlib import Path

import pytest

pytest.importorskip("ray")

from streamsr.fleet.cluster.kept_state import RAY_ALONE, file_of


@pytest.fixture(autouse=True)
def state_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv(RAY_ALONE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_two_fleets_of_a_user_have_two_files(tmp_path: Path) -> None:
    addresses = ["10.0.0.1:6379", "10.0.0.1:6380", "10.0.0.2:6379", "[fe80::1]:6379"]
    files = {file_of(address) for address in addresses}
    assert len(files) == len(addresses)
    assert all(file is not None and file.parent == tmp_path / "streamsr" for file in files)
    assert file_of(addresses[0]) == file_of(addresses[0]), "the head's restart finds it again"


def test_a_fleet_that_ends_with_its_cluster_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAY_ALONE, "1")
    assert file_of("127.0.0.1:40123") is None
