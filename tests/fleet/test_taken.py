"""What cameras take of a host: by model and size, of its cores or of its GPUs."""

import pytest

from streamsr.core.status import StreamState
from streamsr.fleet.host.taken import taken
from streamsr.fleet.host.usage import Usage
from streamsr.ipc.messages import RunningCamera


def running(cpu_ms: float, gpu_ms: float = 0.0) -> RunningCamera:
    return RunningCamera("cam", StreamState.LIVE, "", (cpu_ms, gpu_ms))


def test_what_all_processes_take_is_shared_out_by_what_each_camera_takes_itself() -> None:
    cameras = {"network": running(900.0), "plain": running(100.0)}
    found = taken(Usage(1200.0, 1200.0), cameras, 2000.0, 0)
    assert found.by_camera == pytest.approx({"network": 1080.0, "plain": 120.0})
    assert found.load == 1200.0


def test_a_larger_share_of_the_gpus_counts_as_that_share_of_the_cores() -> None:
    cameras = {"network": running(100.0, 600.0), "plain": running(300.0)}
    found = taken(Usage(400.0, 400.0), cameras, 16_000.0, 2)
    assert found.by_camera == pytest.approx({"network": 4800.0, "plain": 300.0})
    assert found.load == pytest.approx(4800.0)


def test_what_processes_take_that_start_is_no_camera_s() -> None:
    cameras = {"one": running(100.0), "other": running(100.0)}
    found = taken(Usage(1900.0, 230.0), cameras, 2000.0, 0)
    assert found.by_camera == pytest.approx({"one": 115.0, "other": 115.0})
    assert found.load == 1900.0
    found = taken(Usage(1900.0, 0.0), cameras, 2000.0, 0)
    assert found.by_camera == {"one": 100.0, "other": 100.0}, "their own threads are theirs"


def test_cameras_that_have_not_begun_take_nothing_yet() -> None:
    found = taken(Usage(300.0, 300.0), {"cam": running(0.0)}, 2000.0, 0)
    assert found.by_camera == {"cam": 0.0}
    assert taken(Usage(0.0, 0.0), {}, 2000.0, 1).load == 0.0
