"""A live source against cameras that are slow, choosy, lossy or not there."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import MuteServer, ScriptedCamera, access_units, read_number
from peers.live_reader import Reader

from streamsr.core.errors import SourceAuthError, SourceError
from streamsr.core.events import Code
from streamsr.media.source import SourceInfo
from streamsr.sources.live import LiveSource
from streamsr.sources.live_watch import LiveTimeouts
from streamsr.sources.opening import file_frames

pytestmark = pytest.mark.usefixtures("no_thread_left")

SMALL: dict[str, Any] = {"width": 160, "height": 90, "audio": False}
QUICK = LiveTimeouts(
    open_s=2.0, read_s=0.23, silent_s=0.4, unknown_s=2.4, damaged_s=1.0, waiting_s=0.3
)  # ten times as quick as those of every day


@pytest.fixture(scope="module")
def units(clip: Callable[..., Path]) -> list[bytes]:
    return access_units(clip(**SMALL))


def refusal(url: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        list(LiveSource(url, lambda event: None, give_up_s=0.1).items(threading.Event()))
    return caught.value


def test_a_camera_that_speaks_udp_only_is_asked_by_udp(units: list[bytes]) -> None:
    with ScriptedCamera(units, transports=["udp"]) as camera, Reader(camera.url) as reader:
        reader.wait_for_frames(5)
        assert camera.connections == 2, "the second one, by UDP, at once"
    (up,) = reader.events
    assert up.code is Code.SRC_UP
    assert up.message.endswith("/cam, over udp")


def test_a_camera_that_speaks_tcp_only_is_asked_by_tcp(units: list[bytes]) -> None:
    with (
        ScriptedCamera(units, transports=["tcp"]) as camera,
        Reader(camera.url, transport="udp") as reader,
    ):
        reader.wait_for_frames(5)


def test_a_camera_that_speaks_neither_says_so(units: list[bytes]) -> None:
    with ScriptedCamera(units, transports=[]) as camera:
        assert "it refuses RTP over tcp and udp" in str(refusal(camera.url))


@pytest.mark.parametrize("refused", [[], ["metadata"]])
def test_a_metadata_track_is_not_asked_for(units: list[bytes], refused: list[str]) -> None:
    with (
        ScriptedCamera(units, metadata=True, refused=refused) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(5)
        assert camera.connections == 1
    assert reader.codes == [Code.SRC_UP]


class Refusals:
    """Answers for ``ScriptedCamera``: the next requests of one kind are refused."""

    def __init__(self, what: str, times: int) -> None:
        self._what = re.compile(what)
        self.left = times

    def __call__(self, request: str) -> str:
        if not self.left or not self._what.search(request):
            return ""
        self.left -= 1
        return "453 Not Enough Bandwidth"


@pytest.mark.parametrize(
    ("what", "times"), [("DESCRIBE", 3), ("SETUP.*video", 3), ("SETUP.*audio", 1), ("PLAY", 1)]
)
def test_a_camera_that_is_busy_for_once_keeps_its_audio(
    units: list[bytes], what: str, times: int
) -> None:
    with (
        ScriptedCamera(units, audio=True, status=Refusals(what, times)) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(5)
        asked = [line for line in camera.requests if line.startswith("SETUP")]
    assert "audio" in asked[-1]
    assert "without audio" not in reader.events[-1].message


def test_a_camera_that_refuses_its_audio_is_played_without_it(units: list[bytes]) -> None:
    refusals = Refusals("SETUP.*audio", 2)
    with (
        ScriptedCamera(units, audio=True, status=refusals) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(5)
        assert "without audio, whose track it refuses" in reader.events[0].message
        camera.reset()
        reader.wait_for(lambda: reader.source.reconnects == 1)
    assert "without audio" not in reader.events[-1].message, "asked for again, it gives it"


def test_one_refusal_of_all_transports_is_not_for_good(units: list[bytes]) -> None:
    with ScriptedCamera(units, transports=[]) as camera, Reader(camera.url) as reader:
        reader.wait_for(lambda: Code.SRC_DOWN in reader.codes)
        camera.transports = ["tcp"]
        reader.wait_for_frames(5)


def test_a_slow_camera_stays_connected(units: list[bytes]) -> None:
    """At 2 frames a second and limits of a tenth: as at 0.2 frames with those of every day."""
    with (
        ScriptedCamera(units, rate=2.0) as camera,
        Reader(camera.url, timeouts=QUICK) as reader,
    ):
        reader.wait_for_frames(12)
        assert camera.connections == 1
    assert {frame.discontinuous for frame in reader.frames[1:]} == {False}


def test_a_camera_joined_within_a_long_gop_is_waited_for(clip: Callable[..., Path]) -> None:
    long = access_units(clip(**SMALL, gop=100))
    with (
        ScriptedCamera(long, first=30) as camera,  # 2.8 s before its keyframe
        Reader(camera.url, timeouts=QUICK) as reader,
    ):
        reader.wait_for_frames(2)
        assert camera.connections == 1
    assert [event.code for event in reader.events] == [Code.SRC_WAITING, Code.SRC_UP]
    assert "waiting for its next keyframe" in reader.events[0].message
    assert read_number(reader.frames[0].planes[0]) == 0


def test_a_camera_that_falls_silent_is_declared_down(units: list[bytes]) -> None:
    with (
        ScriptedCamera(units, silent_after=30) as camera,
        Reader(camera.url, timeouts=QUICK) as reader,
    ):
        reader.wait_for_frames(10)
        took_s = reader.wait_for(lambda: Code.SRC_DOWN in reader.codes)
    assert took_s < 30 / 25 + 3 * QUICK.silent_s
    assert "no new frame for" in reader.events[-1].message


def test_a_stop_does_not_wait_for_a_camera_that_fell_silent(units: list[bytes]) -> None:
    """It is seen with the next read that is given up, and not once the camera is."""
    patient = LiveTimeouts(read_s=0.23, unknown_s=30.0, silent_s=30.0)
    with (
        ScriptedCamera(units, silent_after=5) as camera,
        Reader(camera.url, timeouts=patient) as reader,
    ):
        reader.wait_for_frames(2)
        reader.end(within_s=4.0)


@pytest.mark.parametrize("codec", ["H264", "H265"])
@pytest.mark.parametrize("slices", [1, 2])
def test_no_damaged_frame_gets_in(clip: Callable[..., Path], codec: str, slices: int) -> None:
    shown = clip(
        codec="libx264" if codec == "H264" else "libx265",
        audio=False,
        gop=20,
        slices=slices,
        seconds=3.2,
    )
    truth = [frame.planes[0].astype(int) for frame in file_frames(shown)]
    lost = {13, 51, 94}  # frames that lack their last packet, and one of which nothing comes

    def keep(unit: int, packet: int, packets: int) -> bool:
        return unit not in lost or (packets > 1 and packet < packets - 1)

    with (
        ScriptedCamera(access_units(shown), codec=codec, keep=keep) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(60)
        reader.wait_for(lambda: Code.SRC_DAMAGED in reader.codes, 40)
    for frame in reader.frames:
        number = read_number(frame.planes[0])
        assert number is not None
        assert abs(truth[number] - frame.planes[0]).mean() < 1, f"frame {number} is damaged"


def test_an_unknown_host_is_named() -> None:
    assert "there is no host named 'cam.invalid': check the name" in str(
        refusal("rtsp://cam.invalid/1")
    )
    assert "in a password / is written %2F" in str(refusal("rtsp://u:p@cam/w@nvr.invalid:1x/1"))


def test_a_refused_port_is_named() -> None:
    with MuteServer() as gone:
        port = gone.port
    said = str(refusal(f"rtsp://u:hunter22@127.0.0.1:{port}/1"))
    assert f"nothing listens at 127.0.0.1 port {port}: check the port" in said
    assert "hunter22" not in said


def test_the_key_of_an_rtmp_address_is_not_said() -> None:
    with MuteServer() as gone:
        port = gone.port
    said = str(refusal(f"rtmp://127.0.0.1:{port}/live/hunter22"))
    assert said.startswith(f"input rtmp://127.0.0.1:{port}/live/***: ")
    assert "hunter22" not in said


def test_a_wrong_path_is_named(units: list[bytes]) -> None:
    with ScriptedCamera(units, status=lambda request: "404 Not Found") as camera:
        assert "there is no stream at its path '/cam': check the path" in str(refusal(camera.url))


def test_a_missing_password_is_asked_for(units: list[bytes]) -> None:
    with ScriptedCamera(units, status=lambda request: "401 Unauthorized") as camera:
        error = refusal(camera.url)
    assert isinstance(error, SourceAuthError)
    assert "put USER:PASSWORD@ before the host" in str(error)


def test_capitals_and_a_raw_password_are_understood(units: list[bytes]) -> None:
    with ScriptedCamera(units) as camera:
        place = camera.url.partition("://")[2]
        with Reader(f"RTSP://admin:p@ss/w#rd@{place}") as reader:
            reader.wait_for_frames(5)
    (info,) = (item for item in reader.items if isinstance(item, SourceInfo))
    assert info.size == "160x90"
