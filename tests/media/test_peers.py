"""The peers themselves: a camera that is one, faults that happen when told."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer
from peers import (
    MuteServer,
    RefusingServer,
    RtspCamera,
    TcpProxy,
    draw_number,
    number_in,
    read_number,
)

from streamsr.core.frame import ColourTags

CANARY = "p@ss/w%rd:#1"
LOOP = 100  # numbers in the default clip
TIMEOUT_S = 0.6  # PyAV takes up to twice as long

Clip = Callable[..., Path]
Camera = Callable[..., RtspCamera]


@contextmanager
def opened(url: str, transport: str = "tcp") -> Iterator[InputContainer]:
    options = {"rtsp_transport": transport, "analyzeduration": "0", "probesize": "5000"}
    with av.open(url, options=options, timeout=(TIMEOUT_S, TIMEOUT_S)) as container:
        container.streams.video[0].thread_type = "NONE"
        yield container


@dataclass
class Seen:
    """What a client got so far."""

    numbers: list[int | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # when, monotonic seconds
    audio_packets: int = 0

    def steps(self) -> list[int]:
        assert None not in self.numbers
        pairs = zip(self.numbers[:-1], self.numbers[1:], strict=True)
        return [(b - a) % LOOP for a, b in pairs if a is not None and b is not None]


def watch(container: InputContainer, frames: int, then: Callable[[], None] | None = None) -> Seen:
    """Read so many frames; then, if there is something to do, do it and read to the end."""
    seen = Seen()
    for packet in container.demux():
        if packet.stream.type == "audio":
            seen.audio_packets += packet.size > 0
            continue
        for frame in packet.decode():
            seen.numbers.append(number_in(frame))
            seen.times.append(time.monotonic())
        if len(seen.numbers) >= frames:
            if then is None:
                break
            then()
            frames = sys.maxsize
    return seen


class TestClip:
    @pytest.mark.parametrize("number", [0, 1, 0x5555, 0xFFFF])
    def test_number_survives_scaling(self, number: int) -> None:
        luma = np.full((90, 160), 100, np.uint8)
        draw_number(luma, number)
        assert read_number(luma) == number
        assert read_number(luma.repeat(4, axis=0).repeat(4, axis=1)) == number
        assert read_number(255 - luma) is None

    def test_damage_is_not_a_number(self) -> None:
        luma = np.full((180, 320), 100, np.uint8)
        assert read_number(luma) is None
        draw_number(luma, 1234)
        luma[:30, :14] = 255 - luma[:30, :14]  # one bit turned
        assert read_number(luma) is None

    @pytest.mark.parametrize(
        "settings",
        [
            {"crf": 40},
            {"b_frames": 2},
            {"slices": 4},
            {"codec": "libx265", "pix_fmt": "yuv420p10le"},
            {"width": 161, "height": 91, "pix_fmt": "yuv444p"},
            {"colour": ColourTags(1, 1, 1, full_range=True), "rate": Fraction(30000, 1001)},
            {"missing": (3, 4, 20), "aspect": Fraction(4, 3)},
        ],
        ids=str,
    )
    def test_every_frame_is_numbered_as_asked(self, clip: Clip, settings: dict[str, Any]) -> None:
        with av.open(clip(seconds=1.0, **settings)) as container:
            video = container.streams.video[0]
            frames = list(container.decode(video))
            times = [frame.pts * video.time_base for frame in frames]
            assert video.sample_aspect_ratio == settings.get("aspect")
        rate = Fraction(settings.get("rate", 25))
        expected = [n for n in range(round(rate)) if n not in settings.get("missing", ())]
        assert [number_in(frame) for frame in frames] == expected
        seconds = [float(time - times[0]) for time in times]
        assert seconds == pytest.approx([float(n / rate) for n in expected], abs=1e-3)
        colour = settings.get("colour", ColourTags())
        assert frames[0].colorspace == colour.matrix
        assert (frames[0].color_range == 2) == colour.full_range


class TestRtspCamera:
    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    def test_plays_in_real_time_with_audio(
        self, rtsp_camera: Camera, clip: Clip, transport: str
    ) -> None:
        camera = rtsp_camera(clip(gop=LOOP))  # whoever waits for a keyframe waits 4 s
        asked = time.monotonic()
        with opened(camera.url, transport) as container:
            seen = watch(container, 51)
            assert container.streams.video[0].codec_context.width == 320
        assert seen.times[0] - asked < 2  # 0.06 s on an idle machine
        assert set(seen.steps()) == {1}
        assert seen.times[-1] - seen.times[0] == pytest.approx(2.0, abs=0.4)
        assert seen.audio_packets == pytest.approx(2.0 * 48_000 / 1024, abs=20)

    def test_time_stamps_go_on_where_the_clip_begins_again(
        self, rtsp_camera: Camera, clip: Clip
    ) -> None:
        camera = rtsp_camera(clip(seconds=0.6, gop=15))
        with opened(camera.url) as container:
            times = [packet.pts for packet in islice(container.demux(video=0), 40)]
        steps = np.diff(times[1:])  # the first packet has no time yet
        assert np.all(np.abs(steps - 3600) <= 90)  # a millisecond: RTCP sets the clock right

    def test_two_clients_at_once(self, rtsp_camera: Camera) -> None:
        camera = rtsp_camera()
        with opened(camera.url) as first, opened(camera.url, "udp") as second:
            seen = [watch(container, 15) for container in (first, second)]
        assert [set(one.steps()) for one in seen] == [{1}, {1}]

    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    def test_kill_is_a_clean_end_and_restart_a_new_beginning(
        self, rtsp_camera: Camera, clip: Clip, transport: str
    ) -> None:
        camera = rtsp_camera()
        with opened(camera.url, transport) as container:
            watch(container, 5, camera.kill)  # ends without an exception
        with pytest.raises(ConnectionRefusedError), opened(camera.url, transport):
            pass
        port = camera.port
        camera.restart(clip(width=160, height=90, audio=False))
        assert camera.port == port
        with opened(camera.url, transport) as container:
            assert set(watch(container, 5).steps()) == {1}
            assert container.streams.video[0].codec_context.width == 160
            assert not container.streams.audio

    def test_freeze_times_out_and_thaw_is_a_camera_again(self, rtsp_camera: Camera) -> None:
        camera = rtsp_camera()
        with opened(camera.url) as container, pytest.raises(av.error.ExitError):
            watch(container, 5, camera.freeze)
        with pytest.raises(av.error.InvalidDataError), opened(camera.url):
            pass
        camera.thaw()
        with opened(camera.url) as container:
            assert set(watch(container, 5).steps()) == {1}

    @pytest.mark.parametrize("auth", ["basic", "digest"])
    def test_password(self, rtsp_camera: Camera, auth: str) -> None:
        camera = rtsp_camera(user="admin", password=CANARY, auth=auth)
        with opened(camera.url) as container:
            assert set(watch(container, 2).steps()) == {1}
        for url in (camera.url_as("admin", "wrong"), camera.url_as(None)):
            with pytest.raises(av.error.HTTPUnauthorizedError), opened(url):
                pass

    def test_loss_damages_and_disorder_does_not(self, rtsp_camera: Camera) -> None:
        with opened(rtsp_camera(loss=0.2).url, "udp") as container:
            numbers = watch(container, 40).numbers
        assert len({n for n in numbers if n is not None}) < 40
        with opened(rtsp_camera(disorder=0.1).url, "udp") as container:
            assert set(watch(container, 20).steps()) == {1}

    def test_no_clip_is_an_error_with_its_words(self, require_gst: None) -> None:
        camera = RtspCamera(Path("/nonexistent.mp4"))
        with pytest.raises(RuntimeError, match="nonexistent"):
            camera.start()


class TestTcpProxy:
    @pytest.fixture
    def ends(self) -> Iterator[tuple[TcpProxy, socket.socket, socket.socket]]:
        """A proxy and a connection through it: its client's end and its server's end."""
        with (
            closing(socket.create_server(("127.0.0.1", 0))) as listener,
            TcpProxy(listener.getsockname()[1]) as proxy,
            closing(socket.create_connection(("127.0.0.1", proxy.port))) as client,
        ):
            server, _ = listener.accept()
            with closing(server):
                for end in (client, server):
                    end.settimeout(5)
                yield proxy, client, server

    def test_forwards_both_ways_and_the_end(self, ends: Any) -> None:
        proxy, client, server = ends
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"
        server.close()
        assert client.recv(100) == b""
        assert proxy.connections == 1

    def test_stall_holds_back(self, ends: Any) -> None:
        proxy, client, server = ends
        proxy.stall()
        client.sendall(b"late")
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.recv(100)
        proxy.forward()
        assert server.recv(100) == b"late"

    def test_black_hole_swallows(self, ends: Any) -> None:
        proxy, client, server = ends
        proxy.black_hole()
        client.sendall(b"lost" * 1_000_000)  # without back-pressure
        proxy.forward()
        client.sendall(b"found")
        got = b""
        while not got.endswith(b"found"):  # what it had not read yet comes too
            got += server.recv(1 << 20)
        assert len(got) < 4_000_000

    def test_reset(self, ends: Any) -> None:
        proxy, client, server = ends
        proxy.reset()
        for end in (client, server):
            with pytest.raises(ConnectionResetError):
                end.recv(100)
        with socket.create_connection(("127.0.0.1", proxy.port)):
            pass  # and takes new ones

    def test_throttle(self, ends: Any) -> None:
        proxy, client, server = ends
        proxy.throttle(50_000)
        began = time.monotonic()
        client.sendall(bytes(50_000))
        got = 0
        while got < 50_000:
            got += len(server.recv(1 << 20))
        assert 0.8 < time.monotonic() - began < 3

    def test_stops_and_starts_on_its_port(self, ends: Any) -> None:
        proxy, client, _ = ends
        port = proxy.port
        proxy.stop()
        assert client.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        proxy.start()
        assert proxy.port == port
        socket.create_connection(("127.0.0.1", port)).close()

    def test_camera_through_it(self, rtsp_camera: Camera) -> None:
        camera = rtsp_camera()
        with TcpProxy(camera.port) as proxy:
            url = camera.url_as(None, port=proxy.port)
            with opened(url) as container, pytest.raises(av.error.ExitError):
                watch(container, 5, proxy.black_hole)
            proxy.forward()
            with opened(url) as container:
                watch(container, 5, proxy.reset)  # a clean end too
            assert proxy.connections == 2


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_mute_server_takes_connections_and_is_silent(transport: str) -> None:
    with MuteServer() as server:
        with pytest.raises(av.error.InvalidDataError), opened(url_of(server), transport):
            pass
        assert server.connections == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, av.error.HTTPUnauthorizedError),
        (404, av.error.HTTPNotFoundError),
        (503, av.error.HTTPServerError),
    ],
)
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_refusing_server_says_no(status: int, error: type[Exception], scheme: str) -> None:
    with RefusingServer(status) as server:
        with pytest.raises(error), opened(url_of(server, scheme)):
            pass
        assert server.requests >= 1


def url_of(server: MuteServer | RefusingServer, scheme: str = "rtsp") -> str:
    return f"{scheme}://127.0.0.1:{server.port}/cam"
