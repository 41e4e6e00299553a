"""What Ray starts for a fleet begins before cameras, where this process may say so."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from peers.waiting import until

from streamsr.fleet.cluster.urgency import Hurry

LEAST = 15  # as Ray starts processes
CLUSTER = "192.0.2.7:6379"


@contextmanager
def waiting_process(script: Path, *arguments: str) -> Iterator[int]:
    command = [sys.executable, str(script), *arguments]
    with subprocess.Popen(["nice", "-n", str(LEAST), *command]) as process:
        yield process.pid
        process.kill()


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def may_hurry() -> bool:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness(0) - 1)
        os.setpriority(os.PRIO_PROCESS, 0, niceness(0) + 1)
        return True
    return False


@pytest.mark.skipif(not may_hurry(), reason="it takes the right to make processes more urgent")
async def test_what_starts_for_a_cluster_is_hurried_until_it_has_begun(tmp_path: Path) -> None:
    script = tmp_path / "workers" / "default_worker.py"
    script.parent.mkdir()
    script.write_text("import time\ntime.sleep(60)\n")
    hurry = Hurry(CLUSTER)
    with (
        waiting_process(script, f"--gcs-address={CLUSTER}") as ours,
        waiting_process(script, "--gcs-address=192.0.2.8:6379") as anothers,
    ):
        await until(lambda: niceness(ours) == niceness(anothers) == LEAST, 10)
        hurry.on()
        assert niceness(ours) < 0
        assert niceness(anothers) == LEAST
        os.setpriority(os.PRIO_PROCESS, ours, LEAST)  # Ray may do so after this
        hurry.on()
        assert niceness(ours) < 0
        hurry.off()
        assert niceness(ours) == LEAST


@pytest.mark.skipif(not may_hurry(), reason="it takes the right to make processes more urgent")
async def test_what_has_set_its_own_is_left_alone(tmp_path: Path) -> None:
    script = tmp_path / "workers" / "default_worker.py"
    script.parent.mkdir()
    script.write_text("import time\ntime.sleep(60)\n")
    hurry = Hurry(CLUSTER)
    with waiting_process(script, f"--gcs-address={CLUSTER}") as pid:
        await until(lambda: niceness(pid) == LEAST, 10)
        hurry.on()
        os.setpriority(os.PRIO_PROCESS, pid, 0)
        hurry.off()
        assert niceness(pid) == 0
