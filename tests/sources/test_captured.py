"""When a camera took a frame, by its own clock."""

import time
from collections.abc import Callable

import pytest
from peers import RtspCamera
from peers.live_reader import Reader

Camera = Callable[..., RtspCamera]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frame_has_the_time_of_its_cameras_sender_reports(
    rtsp_camera: Camera, transport: str
) -> None:
    """Of a camera on this machine, whose clock is ours."""
    with Reader(rtsp_camera().url, transport=transport) as reader:
        reader.wait_for(lambda: any(frame.captured for frame in reader.frames), 20)
        now, passed = time.time(), time.monotonic()
        frame = next(frame for frame in reader.frames if frame.captured)
    arrived = now - (passed - frame.arrived)
    assert -0.05 <= arrived - frame.captured <= 1.0
