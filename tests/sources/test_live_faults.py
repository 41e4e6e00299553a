"""Cameras that are there, and yet give no frames: trickles, audio alone, no media, no entry."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest
from peers import RefusingServer, TcpProxy, camera_clip
from peers.live_reader import Reader
from peers.tcp import MuteServer
from test_live import Camera

from streamsr.core.events import Code
from streamsr.sources.reopened import AUTH_RETRY_S

SLOWER_S = 4.0  # that a machine with other work to do takes beyond the bar
DESCRIPTION = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=control:video\r\n"
)


class SilentCamera(MuteServer):
    """Answers every request of RTSP as a camera does, and then sends no media."""

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                return
            lines = ["RTSP/1.0 200 OK", "Session: 1;timeout=60", "Public: DESCRIBE, SETUP, PLAY"]
            lines += [line for line in head.split("\r\n") if line.lower().startswith("cseq:")]
            body = DESCRIPTION if head.startswith("DESCRIBE") else ""
            if head.startswith("SETUP"):
                lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
            if body:
                lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            writer.write("\r\n".join([*lines, "", body]).encode())
            await writer.drain()


@contextmanager
def audio_goes_on(clip: Path) -> Iterator[str]:
    """The address of a transport stream of 2 s of video, whose audio goes on for 14 s."""
    data = clip.read_bytes()
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with av.open(clip) as container:
                ends = [packet.pos for packet in container.demux(video=0) if packet.pos]
            video = data[: ends[-1] + 188]  # at its own pace: what comes at once is no live video
            for place in range(0, len(video), 1880):
                self.wfile.write(video[place : place + 1880])
                gone.wait(2 * 1880 / len(video))
            rest = data[ends[-1] + 188 :]
            for place in range(0, len(rest), 188):
                if gone.wait(14 * 188 / len(rest)):
                    return
                self.wfile.write(rest[place : place + 188])

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/live.ts"
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


def long_audio(path: Path) -> Path:
    """2 s of video and 14 of audio, in a transport stream."""
    short = camera_clip(path.with_name("short.mp4"), width=160, height=90, seconds=2)
    with av.open(short) as source, av.open(path, "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in source.streams}
        packets = [p for p in source.demux() if p.dts is not None]
        tone = [(bytes(p), p.pts, p.time_base) for p in packets if p.stream.type == "audio"]
        for packet in packets:
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
        track = copies[1]
        for turn in range(1, 7):
            for data, pts, time_base in tone:
                packet = av.Packet(data)
                packet.pts = packet.dts = pts + turn * len(tone) * 1024
                packet.time_base, packet.stream = time_base, track
                out.mux(packet)
    return path


def test_a_trickle_is_no_camera(rtsp_camera: Camera) -> None:
    proxy = TcpProxy(rtsp_camera().port)
    with proxy, Reader(f"rtsp://127.0.0.1:{proxy.port}/cam") as reader:
        reader.wait_for_frames(10)
        proxy.throttle(200)
        took_s = reader.wait_for(lambda: Code.SRC_DOWN in reader.codes, 30)
        proxy.forward()
        proxy.reset()
    assert took_s <= 12 + SLOWER_S


def test_audio_alone_is_no_camera(tmp_path: Path) -> None:
    with audio_goes_on(long_audio(tmp_path / "long.ts")) as url, Reader(url) as reader:
        reader.wait_for_frames(10)
        took_s = reader.wait_for(lambda: Code.SRC_DOWN in reader.codes, 30)
    assert took_s <= 6 + SLOWER_S
    reasons = [event.message for event in reader.events if event.code is Code.SRC_DOWN]
    assert "the stream ended" not in reasons[0]


def test_a_camera_that_is_open_and_sends_nothing_is_given_up() -> None:
    with SilentCamera() as silent, Reader(f"rtsp://127.0.0.1:{silent.port}/cam") as reader:
        took_s = reader.wait_for(lambda: Code.SRC_DOWN in reader.codes, 30)
        assert silent.connections == 1
    assert took_s <= 11 + SLOWER_S


def test_a_camera_that_refuses_the_password_is_asked_seldom() -> None:
    with RefusingServer(401) as refusing:
        url = f"rtsp://admin:wrong-one@127.0.0.1:{refusing.port}/cam"
        with Reader(url) as reader:
            reader.wait_for(lambda: Code.SRC_AUTH in reader.codes)
            threading.Event().wait(4)
        assert refusing.connections == 1
    assert AUTH_RETRY_S >= 30


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before
