"""A live source against a real RTSP camera: over TCP and UDP, killed, frozen, refusing, mute."""

import itertools
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from peers import MuteServer, RtspCamera, read_number
from peers.odd import titled, without

from streamsr.core.errors import SourceAuthError, SourceError
from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.media.files import file_frames
from streamsr.media.live import LiveSource
from streamsr.media.source import AudioFrame, SourceInfo

Camera = Callable[..., RtspCamera]


class Reader:
    """Reads a source in a thread of its own, as a pipeline does."""

    def __init__(self, source: LiveSource) -> None:
        self.items: list[Any] = []
        self.error: Exception | None = None
        self._source = source
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(15)
        assert not self._thread.is_alive()

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    def wait_for(self, met: Callable[[], bool], timeout_s: float) -> float:
        """Wait until ``met``; give the seconds it took."""
        start = monotonic()
        with self._changed:
            assert self._changed.wait_for(met, timeout_s), f"not within {timeout_s} s"
        return monotonic() - start

    def _read(self) -> None:
        try:
            for item in self._source.items(self._stop):
                with self._changed:
                    self.items.append(item)
                    self._changed.notify_all()
        except (SourceError, OSError) as error:
            self.error = error
            with self._changed:
                self._changed.notify_all()


@pytest.fixture
def events() -> list[Event]:
    return []


def rising(values: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_frame_once_in_order(
    rtsp_camera: Camera, events: list[Event], transport: str
) -> None:
    camera = rtsp_camera()
    source = LiveSource(camera.url, events.append, transport=transport)
    with Reader(source) as reader:
        reader.wait_for(lambda: len(reader.frames) >= 75, 15)
    info = reader.items[0]
    assert isinstance(info, SourceInfo)
    assert (info.width, info.height, info.codec, info.audio_codec) == (320, 180, "h264", "aac")
    numbers = [read_number(frame.planes[0]) for frame in reader.frames]
    steps = {(b - a) % 100 for a, b in itertools.pairwise(numbers)}  # the clip loops
    assert steps == {1}
    assert rising([frame.pts for frame in reader.frames])
    assert any(isinstance(item, AudioFrame) for item in reader.items)
    assert [event.code for event in events] == [Code.SRC_UP]


def test_a_killed_camera_comes_back_in_unbroken_time(
    rtsp_camera: Camera, events: list[Event]
) -> None:
    camera = rtsp_camera()
    source = LiveSource(camera.url, events.append)
    with Reader(source) as reader:
        reader.wait_for(lambda: len(reader.frames) >= 10, 15)
        camera.kill()
        camera.restart()
        seen = len(reader.frames)
        reader.wait_for(lambda: len(reader.frames) >= seen + 10, 6)
    assert source.reconnects == 1
    assert {Code.SRC_DOWN, Code.SRC_UP} <= {event.code for event in events}
    assert rising([frame.pts for frame in reader.frames])
    broken = [frame for frame in reader.frames if frame.discontinuous]
    assert len(broken) == 2, "the first frame, and the first after the gap"
    span_s = reader.frames[-1].time_s - reader.frames[0].time_s
    took_s = reader.frames[-1].arrived - reader.frames[0].arrived
    assert span_s == pytest.approx(took_s, abs=0.5)


def test_a_frozen_camera_is_declared_down_and_comes_back(
    rtsp_camera: Camera, events: list[Event]
) -> None:
    camera = rtsp_camera()
    with Reader(LiveSource(camera.url, events.append)) as reader:
        reader.wait_for(lambda: len(reader.frames) >= 10, 15)
        camera.freeze()
        frozen = monotonic()
        while not any(event.code is Code.SRC_DOWN for event in events):
            assert monotonic() - frozen < 6, "a half-open stall is declared within 6 s"
            threading.Event().wait(0.05)
        seen = len(reader.frames)
        camera.thaw()
        reader.wait_for(lambda: len(reader.frames) >= seen + 10, 6)


def test_a_wrong_password_is_told_apart_and_never_shown(
    rtsp_camera: Camera, events: list[Event]
) -> None:
    password = "p@ss/w%rd:#1"
    camera = rtsp_camera(user="admin", password=password)
    right = LiveSource(camera.url, events.append)
    with Reader(right) as reader:
        reader.wait_for(lambda: len(reader.frames) >= 5, 15)
    wrong = camera.url_as("admin", password + "x")
    with Reader(LiveSource(wrong, events.append)) as reader:
        deadline = monotonic() + 10
        while not any(event.code is Code.SRC_AUTH for event in events):
            assert monotonic() < deadline
            threading.Event().wait(0.05)
    with pytest.raises(SourceAuthError, match="user name or password") as caught:
        list(LiveSource(wrong, events.append, give_up_s=10).items(threading.Event()))
    said = " ".join([str(caught.value), *(event.message for event in events)])
    assert password not in said
    assert "p%40ss" not in said


def test_a_source_that_never_opens_is_given_up() -> None:
    with MuteServer() as mute:
        start = monotonic()
        source = LiveSource(f"rtsp://127.0.0.1:{mute.port}/cam", lambda e: None, give_up_s=3)
        with pytest.raises(SourceError):
            list(source.items(threading.Event()))
        assert monotonic() - start < 12


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


def test_another_size_is_told(
    rtsp_camera: Camera, clip: Callable[..., Path], events: list[Event]
) -> None:
    camera = rtsp_camera()
    with Reader(LiveSource(camera.url, events.append)) as reader:
        reader.wait_for(lambda: len(reader.frames) >= 10, 15)
        camera.restart(clip(width=256, height=144))
        reader.wait_for(lambda: reader.frames[-1].width == 256, 8)
    infos = [item for item in reader.items if isinstance(item, SourceInfo)]
    assert [info.size for info in infos] == ["320x180", "256x144"]


def test_no_damaged_frame_gets_in_when_packets_are_lost(
    rtsp_camera: Camera, clip: Callable[..., Path], events: list[Event]
) -> None:
    shown = clip(gop=25)
    truth = [frame.planes[0].astype(int) for frame in file_frames(shown)]
    camera = rtsp_camera(shown, loss=0.05)

    def damaged() -> bool:
        return Code.SRC_DAMAGED in {event.code for event in events}

    with Reader(LiveSource(camera.url, events.append, transport="udp")) as reader:
        reader.wait_for(lambda: len(reader.frames) >= 60 and damaged(), 40)
    for frame in reader.frames:
        number = read_number(frame.planes[0])
        assert number is not None
        assert abs(truth[number] - frame.planes[0]).mean() < 1, f"frame {number} is damaged"


class WebCamera:
    """A camera that sends a file over HTTP, at about its own pace, and then says no more."""

    def __init__(self, path: Path) -> None:
        data, gone = path.read_bytes(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                for place in range(0, len(data), 4096):
                    self.wfile.write(data[place : place + 4096])
                    gone.wait(0.01)
                gone.wait()

            def log_message(self, *_args: object) -> None: ...

        self._gone = gone
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/live"

    def __enter__(self) -> "WebCamera":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_title_in_another_alphabet_is_no_fault(tmp_path: Path, events: list[Event]) -> None:
    with (
        WebCamera(titled(tmp_path / "titled.mkv", 3.0)) as camera,
        Reader(LiveSource(camera.url, events.append)) as reader,
    ):
        reader.wait_for(lambda: len(reader.frames) >= 10, 10)
    assert [event.code for event in events] == [Code.SRC_UP]


def test_audio_without_a_decoder_is_left_out(tmp_path: Path, events: list[Event]) -> None:
    with (
        WebCamera(without("audio", tmp_path / "mute.mkv", 3.0)) as camera,
        Reader(LiveSource(camera.url, events.append)) as reader,
    ):
        reader.wait_for(lambda: len(reader.frames) >= 10, 10)
    assert [event.code for event in events] == [Code.SRC_UP]
    (info,) = (item for item in reader.items if isinstance(item, SourceInfo))
    assert (info.audio, info.audio_codec) == (None, "")


def test_video_without_a_decoder_is_named(tmp_path: Path, events: list[Event]) -> None:
    with WebCamera(without("video", tmp_path / "dark.mkv")) as camera:
        source = LiveSource(camera.url, events.append, give_up_s=0.1)
        with pytest.raises(SourceError, match="there is no decoder for its video, stream 0"):
            list(source.items(threading.Event()))
