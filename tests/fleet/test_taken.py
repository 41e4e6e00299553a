"""What cameras take of a host: by model and size, of its cores or of its GPUs."""

import pytest

from streamsr.core.status import StreamState
from streamsr.fleet.host.taken import HostShares
from streamsr.fleet.host.usage import Usage
from streamsr.ipc.messages import RunningCamera


def running(
    cpu_ms: float, gpu_ms: float = 0.0, state: StreamState = StreamState.LIVE
) -> RunningCamera:
    return RunningCamera("cam", state, "", (cpu_ms, gpu_ms))


def test_what_all_processes_take_is_shared_out_by_what_each_camera_takes_itself() -> None:
    cameras = {"network": running(900.0), "plain": running(100.0)}
    found = HostShares(2000.0, 0).of(Usage(1200.0), cameras)
    assert found.by_camera == pytest.approx({"network": 1080.0, "plain": 120.0})
    assert found.load == 1200.0


def test_a_larger_share_of_the_gpus_counts_as_that_share_of_the_cores() -> None:
    cameras = {"network": running(100.0, 600.0), "plain": running(300.0)}
    found = HostShares(16_000.0, 2).of(Usage(400.0), cameras)
    assert found.by_camera == pytest.approx({"network": 4800.0, "plain": 300.0})
    assert found.load == pytest.approx(4800.0)


@pytest.mark.parametrize(
    ("starts", "beside"),
    [
        (True, running(100.0)),
        (False, running(0.0)),
        (False, running(0.0, state=StreamState.STARTING)),
    ],
    ids=["a process", "a camera without figures", "a camera"],
)
def test_what_is_taken_while_something_starts_is_no_camera_s(
    starts: bool, beside: RunningCamera
) -> None:
    shares = HostShares(2000.0, 0)
    found = shares.of(Usage(1900.0, starts), {"one": running(100.0), "other": beside})
    assert found.by_camera["one"] == 100.0, "its own threads are its"
    assert found.load == 1900.0
    shares.of(Usage(240.0), {"one": running(100.0), "other": running(100.0)})
    found = shares.of(Usage(1900.0, starts), {"one": running(100.0), "other": beside})
    assert found.by_camera["one"] == pytest.approx(120.0), "as before"


def test_a_camera_that_is_away_keeps_no_other_from_being_measured() -> None:
    cameras = {"one": running(100.0), "away": running(0.0, state=StreamState.DOWN)}
    assert HostShares(2000.0, 0).of(Usage(130.0), cameras).by_camera["one"] == pytest.approx(130.0)


def test_cameras_that_have_not_begun_take_nothing_yet() -> None:
    found = HostShares(2000.0, 0).of(Usage(300.0), {"cam": running(0.0)})
    assert found.by_camera == {"cam": 0.0}
    assert HostShares(2000.0, 1).of(Usage(0.0), {}).load == 0.0
