"""What Ray keeps to itself: what it shows of who joins, and what is done where it has moved."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

import ray

from streamsr.core.errors import UserError
from streamsr.fleet.cluster import client, private
from streamsr.fleet.cluster.private import MovedError, actor_facts, tell_that_it_is_gone

CANARY = "rtsp://canary:p@ss/w%rd:#1@10.0.0.5/media.amp"
SCRIPT = """
from ray.cluster_utils import Cluster
from ray._private.state import state
from streamsr.fleet.cluster import gcs, private
from streamsr.fleet.cluster.client import joined
from streamsr.fleet.cluster.kept_state import KeptState, tell_that_it_left

lean = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "num_cpus": 1}
cluster = Cluster(initialize_head=True, head_node_args=lean)
with joined(cluster.address):
    assert [job["Entrypoint"] for job in state.job_table()] == ["streamsr fleet"], state.job_table()
    first, second = KeptState(), KeptState()
    assert first.load() is None
    first.keep(b"state")
    tell_that_it_left("yard/1", 7)
    private.STATE = "ray.moved"
    assert gcs.is_this_process("00" * 16) is None
    assert first.is_newest()
    assert second.load() == b"state"
    assert second.left == {("yard/1", 7)}
    assert not second.is_of_an_ended_process
    assert second.is_newest() and not first.is_newest()
    second.resign()
    third = KeptState()
    assert third.load() == b"state"
    assert third.is_of_an_ended_process and not third.left
    private.KEY_VALUES = "ray.moved"
    gcs.keep("key", b"value")
    assert gcs.kept("key") is None and gcs.keys("fleet/") == []
    try:
        third.is_newest()
    except ConnectionError as error:
        assert "does not say who the controller is" in str(error)
    else:
        raise AssertionError("nobody can know")
    private.REQUESTS = "ray.moved"
    gcs.tell_that_this_machine_is_gone()
    assert len(gcs.alive_nodes()) == 1
cluster.shutdown()
"""


@pytest.mark.timeout(90)
def test_ray_shows_no_arguments_and_what_it_has_moved_is_done_without() -> None:
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "--set", f"streams.0.input.url={CANARY}"],
            env={**os.environ, "RAY_TMPDIR": folder, "XDG_STATE_HOME": f"{folder}/state"},
            capture_output=True,
            text=True,
            timeout=80,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        logs = [path for path in Path(folder, "ray").glob("session_*/logs/**/*") if path.is_file()]
        assert len(logs) > 5
        assert [path for path in logs if b"canary" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("STATE", lambda: actor_facts("00")),
        ("MESSAGES", lambda: tell_that_it_is_gone("192.0.2.1:6379", "00")),
        ("CHANNELS", lambda: tell_that_it_is_gone("192.0.2.1:6379", "00")),
        ("UTILITIES", lambda: private.name_what_runs("streamsr")),
        ("KEY_VALUES", lambda: private.KeyValues("streamsr").keys("")),
    ],
)
@pytest.mark.parametrize("module", ["ray.moved", "ray"])
def test_what_ray_has_moved_is_said(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, call: Any
) -> None:
    monkeypatch.setattr(private, name, module)
    with pytest.raises(MovedError, match="this version of Ray has no"):
        call()


def test_a_join_by_rays_client_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server starts a process for whoever joins, which may not be there in time."""
    answers: list[Exception | None] = [ConnectionError("timeout"), RuntimeError("failed"), None]

    def init(**_: object) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    monkeypatch.setattr(client.ray, "init", init)
    monkeypatch.setattr(client, "place_of", lambda address: None)
    monkeypatch.setattr(private, "name_what_runs", lambda name: None)
    with client.joined("ray://192.0.2.1:10001"):
        assert answers == []
    answers[:] = [ConnectionError("none runs"), None]
    with pytest.raises(UserError, match="no Ray cluster answers"), client.joined("auto"):
        pass
    answers[:] = [ray.exceptions.AuthenticationError("no token"), None]
    with pytest.raises(UserError, match="no token"), client.joined("ray://192.0.2.1:10001"):
        pass
