"""Ray is told of machines that are gone, by those that remain."""

import os
import subprocess
import sys
import tempfile

import pytest

pytest.importorskip("ray")

SCRIPT = """
import os, signal, time
from ray.cluster_utils import Cluster
import ray
from streamsr.fleet.cluster import gcs

lean = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "num_cpus": 1}
cluster = Cluster(initialize_head=True, head_node_args=lean)
other = cluster.add_node(**lean)
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
gcs.tell_which_machines_are_gone()
assert len(gcs.alive_nodes()) == 2, "both are there"
os.kill(other.all_processes["raylet"][0].process.pid, signal.SIGKILL)
time.sleep(0.2)
assert len(gcs.alive_nodes()) == 2, "Ray has not noticed"
gcs.tell_which_machines_are_gone()
assert [node.is_head for node in gcs.alive_nodes()] == [True]
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.timeout(90)
def test_ray_is_told_of_a_machine_whose_raylet_is_gone() -> None:
    with tempfile.TemporaryDirectory(
        prefix="mg-", dir="/tmp"
    ) as folder:  # sockets have short names
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "RAY_TMPDIR": folder},
            capture_output=True,
            text=True,
            timeout=80,
            check=False,
        )
    assert done.returncode == 0, done.stderr
