"""A live source against a real RTSP camera: over TCP and UDP, killed, frozen, refusing, mute."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import av
import numpy as np
import pytest
from peers import MuteServer, RtspCamera, read_number
from peers.live_reader import Reader
from peers.odd import titled, without
from peers.web_camera import FileCamera

from streamsr.core.errors import SourceAuthError, SourceError
from streamsr.core.events import Code
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.sources.live import LiveSource
from streamsr.sources.live_watch import LiveTimeouts
from streamsr.sources.opening import file_frames

pytestmark = pytest.mark.usefixtures("no_thread_left")

Camera = Callable[..., RtspCamera]

QUICK = LiveTimeouts(open_s=1.0, read_s=0.3, silent_s=0.7)


def rising(values: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_frame_once_in_order(rtsp_camera: Camera, transport: str) -> None:
    with Reader(rtsp_camera().url, transport=transport) as reader:
        reader.wait_for_frames(50)
    info = reader.items[0]
    assert isinstance(info, SourceInfo)
    assert (info.width, info.height, info.codec, info.audio_codec) == (320, 180, "h264", "aac")
    numbers = [read_number(frame.planes[0]) for frame in reader.frames]
    steps = {(b - a) % 100 for a, b in itertools.pairwise(numbers)}  # the clip loops
    assert steps == {1}
    assert rising([frame.pts for frame in reader.frames])
    keys = [frame.packet_bytes for frame in reader.frames if frame.keyframe]
    others = [frame.packet_bytes for frame in reader.frames if not frame.keyframe]
    assert min(keys) > 2 * max(others) > 0, "each frame has the size of its own packet"
    assert any(isinstance(item, AudioFrame) for item in reader.items)
    stalled = {Code.SRC_TIME}  # what a machine that stands still for a moment is taken for
    assert set(reader.codes) - stalled == {Code.SRC_UP}
    assert reader.source.reconnects == 0


def test_a_killed_camera_comes_back_in_unbroken_time(rtsp_camera: Camera) -> None:
    camera = rtsp_camera()
    with Reader(camera.url) as reader:
        reader.wait_for_frames(10)
        camera.kill()
        camera.restart()
        reader.wait_for(lambda: reader.source.reconnects == 1)
        reader.wait_for_frames(10, 6)
    assert {Code.SRC_DOWN, Code.SRC_UP} <= set(reader.codes)
    assert rising([frame.pts for frame in reader.frames])
    broken = [frame for frame in reader.frames if frame.discontinuous]
    assert len(broken) == 2, "the first frame, and the first after the gap"
    span_s = reader.frames[-1].time_s - reader.frames[0].time_s
    took_s = reader.frames[-1].arrived - reader.frames[0].arrived
    assert span_s == pytest.approx(took_s, abs=0.5)


def test_a_frozen_camera_is_declared_down_and_comes_back(rtsp_camera: Camera) -> None:
    """What FFmpeg still holds when a camera falls silent is no sign of life, nor its rhythm."""
    camera, timeouts = rtsp_camera(), LiveTimeouts(open_s=1.0, read_s=0.5, silent_s=0.9)
    with Reader(camera.url, timeouts=timeouts) as reader:
        reader.wait_for_frames(10)
        camera.freeze()
        took_s = reader.wait_for(lambda: Code.SRC_DOWN in reader.codes)
        camera.thaw()
        reader.wait_for_frames(10, 6)
    assert took_s < 1.6, "after two reads of 0.5 s"
    assert LiveTimeouts().silent_s + LiveTimeouts().read_s <= 6.4, "a half-open connection"
    assert 5.5 < LiveTimeouts().mute_s < 6.0, "likewise by HTTP, and a frame every five seconds"


def test_a_wrong_password_is_told_apart_and_never_shown(rtsp_camera: Camera) -> None:
    password = "p@ss/w%rd:#1"
    camera = rtsp_camera(user="admin", password=password)
    with Reader(camera.url) as right:
        right.wait_for_frames(5)
    url = camera.url_as("admin", password + "x")
    with Reader(url) as wrong:
        wrong.wait_for(lambda: Code.SRC_AUTH in wrong.codes)
    with pytest.raises(SourceAuthError, match="user name or password") as caught:
        list(LiveSource(url, lambda event: None, give_up_s=10).items(threading.Event()))
    events = [*right.events, *wrong.events]
    said = " ".join([str(caught.value), *(event.message for event in events)])
    assert password not in said
    assert "p%40ss" not in said


def test_a_source_that_never_opens_is_given_up() -> None:
    with MuteServer() as mute:
        start = monotonic()
        url = f"rtsp://127.0.0.1:{mute.port}/cam"
        source = LiveSource(url, lambda event: None, give_up_s=0.5, timeouts=QUICK)
        with pytest.raises(SourceError):
            list(source.items(threading.Event()))
        assert monotonic() - start < 0.5 + 3 * QUICK.open_s, "FFmpeg takes up to twice as long"


def test_another_size_is_told(rtsp_camera: Camera, clip: Callable[..., Path]) -> None:
    camera = rtsp_camera()
    with Reader(camera.url) as reader:
        reader.wait_for_frames(10)
        camera.restart(clip(width=256, height=144))
        reader.wait_for(lambda: reader.frames[-1].width == 256)
    infos = [item for item in reader.items if isinstance(item, SourceInfo)]
    assert [info.size for info in infos] == ["320x180", "256x144"]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_no_damaged_frame_gets_in_when_packets_are_lost(
    rtsp_camera: Camera, clip: Callable[..., Path], codec: str
) -> None:
    shown = clip(gop=12, codec=codec)
    truth = [frame.planes[0].astype(int) for frame in file_frames(shown)]
    camera = rtsp_camera(shown, loss=0.05)
    with Reader(camera.url, transport="udp") as reader:
        reader.wait_for_frames(40, 40)
        reader.wait_for(lambda: Code.SRC_DAMAGED in reader.codes, 40)
    for frame in reader.frames:
        number = read_number(frame.planes[0])
        assert number is not None
        assert abs(truth[number] - frame.planes[0]).mean() < 1, f"frame {number} is damaged"


def test_a_transport_stream_is_joined_between_its_tables(tmp_path: Path) -> None:
    """Over HTTP: its PAT and PMT come half a second, 250 kB, after its first byte."""
    path, noise = tmp_path / "all.ts", np.random.default_rng(1)
    options = {"g": "20", "preset": "ultrafast", "x264-params": "nal-hrd=cbr:filler=1"}
    options |= {"bufsize": "400k", "maxrate": "4M", "minrate": "4M"}
    with av.open(str(path), "w", options={"pat_period": "0.5"}) as out:
        track = out.add_stream("libx264", 25, width=320, height=180, options=options)
        track.bit_rate = 4_000_000
        for number in range(75):
            pixels = noise.integers(0, 255, (180, 320, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts = number
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    data = path.read_bytes()
    tables = [at for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x40\x00"]
    assert tables[1] - tables[0] > 100_000
    joined = tmp_path / "joined.ts"
    joined.write_bytes(data[tables[0] + 20 * 188 :])
    with FileCamera(joined) as camera, Reader(camera.url, timeouts=QUICK) as reader:
        reader.wait_for_frames(10)
    assert reader.codes[0] is Code.SRC_UP


def test_a_title_in_another_alphabet_is_no_fault(tmp_path: Path) -> None:
    with (
        FileCamera(titled(tmp_path / "titled.mkv", 3.0)) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(10)
    assert reader.codes == [Code.SRC_UP]


def test_audio_without_a_decoder_is_left_out(tmp_path: Path) -> None:
    with (
        FileCamera(without("audio", tmp_path / "mute.mkv", 3.0)) as camera,
        Reader(camera.url) as reader,
    ):
        reader.wait_for_frames(10)
    assert reader.codes == [Code.SRC_UP]
    (info,) = (item for item in reader.items if isinstance(item, SourceInfo))
    assert (info.audio, info.audio_codec) == (None, "")


def test_video_without_a_decoder_is_named(tmp_path: Path) -> None:
    with FileCamera(without("video", tmp_path / "dark.mkv")) as camera:
        source = LiveSource(camera.url, lambda event: None, give_up_s=0.1)
        with pytest.raises(SourceError, match="there is no decoder for its video, stream 0"):
            list(source.items(threading.Event()))
