"""H.265 from cameras that lose packets of RTP: a frame that lacks one is never shown."""

import itertools
import random
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import ScriptedCamera, access_units, read_number
from peers.certificates import make_certificate
from peers.live_reader import Reader

from streamsr.bitstream.rtp import WholeFrameFilter
from streamsr.core.events import Code
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.sources.live_watch import LiveTimeouts
from streamsr.sources.opening import file_frames

pytestmark = pytest.mark.usefixtures("no_thread_left")

SHOWN: dict[str, Any] = {"codec": "libx265", "audio": False, "gop": 20, "crf": 12, "seconds": 3.2}


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("slices", [1, 3])
def test_no_frame_that_lacks_a_packet_is_shown(
    clip: Callable[..., Path], transport: str, slices: int
) -> None:
    shown = clip(**SHOWN, slices=slices)
    truth = [frame.planes[0].astype(int) for frame in file_frames(shown)]
    lose = random.Random(3)
    with (
        ScriptedCamera(
            access_units(shown), codec="H265", keep=lambda *_: lose.random() > 0.01
        ) as camera,
        Reader(camera.url, transport=transport) as reader,
    ):
        reader.wait_for_frames(60, 40)
        reader.wait_for(lambda: Code.SRC_DAMAGED in reader.codes, 40)
        asked = [line for line in camera.requests if line.startswith("PLAY")]
    assert len(asked) == 2, "once to see what it sends, then by the relay"
    for frame in reader.frames:
        number = read_number(frame.planes[0])
        assert number is not None
        assert abs(truth[number] - frame.planes[0]).mean() < 1, f"frame {number} is damaged"


@pytest.mark.parametrize("loss", [0, 0.02])
def test_a_camera_that_speaks_tls(clip: Callable[..., Path], tmp_path: Path, loss: float) -> None:
    shown, lose = clip(**SHOWN), random.Random(3)
    truth = [frame.planes[0].astype(int) for frame in file_frames(shown)]
    certificate = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(str(certificate.tls_certificate), str(certificate.tls_key))
    with (
        ScriptedCamera(
            access_units(shown), codec="H265", tls=tls, keep=lambda *_: lose.random() >= loss
        ) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(60, 40)
        reader.wait_for(lambda: not loss or Code.SRC_DAMAGED in reader.codes, 40)
        asked = [line for line in camera.requests if line.startswith("PLAY")]
    assert len(asked) == 2, "once to see what it sends, then by the relay"
    for frame in reader.frames:
        number = read_number(frame.planes[0])
        assert number is not None
        assert abs(truth[number] - frame.planes[0]).mean() < 1, f"frame {number} is damaged"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_what_is_whole_comes_through(clip: Callable[..., Path], transport: str) -> None:
    with (
        ScriptedCamera(access_units(clip(**SHOWN)), codec="H265", transports=[transport]) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(60)
    assert reader.codes == [Code.SRC_UP]
    numbers = [read_number(frame.planes[0]) or 0 for frame in reader.frames]
    assert {(b - a) % 80 for a, b in itertools.pairwise(numbers)} == {1}
    (info,) = (item for item in reader.items if isinstance(item, SourceInfo))
    assert info.codec == "hevc"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("beside", ["audio", "twin"])
def test_tracks_of_one_payload_type_are_told_apart(
    clip: Callable[..., Path], transport: str, beside: str
) -> None:
    """Their packets are numbered by themselves, and audio is no H.265."""
    with (
        ScriptedCamera(access_units(clip(**SHOWN)), codec="H265", **{beside: True}) as camera,
        Reader(camera.url, transport=transport) as reader,
    ):
        reader.wait_for_frames(30)
    assert reader.codes == [Code.SRC_UP]
    assert "lost packets" not in reader.events[0].message, "by the relay"
    if beside == "audio":
        assert sum(isinstance(item, AudioFrame) for item in reader.items) >= 20


def test_a_bad_moment_of_the_camera_is_no_fault_of_the_relay(clip: Callable[..., Path]) -> None:
    """It is asked by the relay again, where that has brought video before."""
    shown = clip(**SHOWN)
    truth = [frame.planes[0].astype(int) for frame in file_frames(shown)]
    refusals, lose = list[str](), random.Random(3)

    def status(request: str) -> str:
        return refusals.pop() if refusals and request.startswith("DESCRIBE") else ""

    def keep(*_: int) -> bool:
        return camera.connections < 3 or lose.random() > 0.02

    with (
        ScriptedCamera(access_units(shown), codec="H265", status=status, keep=keep) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(5)
        refusals += ["503 Service Unavailable", "404 Not Found"]
        camera.reset()
        reader.wait_for(lambda: reader.source.reconnects == 1)
        reader.wait_for_frames(40, 40)
    assert not refusals
    for frame in reader.frames:
        number = read_number(frame.planes[0])
        assert number is not None
        assert abs(truth[number] - frame.planes[0]).mean() < 1, f"frame {number} is damaged"


def test_a_camera_that_sends_nothing_by_the_relay_is_asked_without_it(
    clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is told, as damage is not seen then."""
    monkeypatch.setattr(WholeFrameFilter, "take", lambda *_: [])
    timeouts = LiveTimeouts(open_s=1.0, read_s=0.3)
    with (
        ScriptedCamera(access_units(clip(**SHOWN)), codec="H265") as camera,
        Reader(camera.url, timeouts=timeouts) as reader,
    ):
        reader.wait_for_frames(5)
    assert "whose lost packets are not seen" in reader.events[-1].message
