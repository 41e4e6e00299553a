"""Cameras that die, change, send garbage and come back, many times over, in a running node."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import pytest
from node.test_node_cameras import Watcher, running
from peers import RtspCamera, TcpProxy, packets, read_number
from peers.live_reader import Reader

from soak import Usage, counts, figure, soak
from streamsr.core.backoff import Backoff
from streamsr.core.events import Code
from streamsr.sources import reopened
from streamsr.sources.live import LiveSource
from streamsr.sources.opening import file_frames

Camera = Callable[..., RtspCamera]
SHAPES: list[dict[str, Any]] = [  # of cameras that come back as another
    {"width": 160, "height": 90},
    {"width": 320, "height": 180, "rate": 15},
    {"width": 162, "height": 90, "pix_fmt": "yuv422p"},
    {"width": 160, "height": 90, "pix_fmt": "yuv420p10le"},
    {"width": 160, "height": 120, "audio": False},
    {"width": 96, "height": 160, "b_frames": 0, "gop": 10},
]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@counts(3, 100, hours=1)
async def test_a_camera_that_is_killed_is_back_soon_and_its_recording_stays_open(
    rtsp_camera: Camera, clip: Callable[..., Path], tmp_path: Path, count: int
) -> None:
    camera = rtsp_camera(clip(width=160, height=90))
    stream = {"name": "cam", "input": {"url": camera.url}, "record": {"folder": tmp_path}}
    chance, took_s = random.Random(1), []
    async with running(stream) as (node, log):
        watcher = Watcher(node, "cam")
        await watcher.more(10, 20)
        for _ in range(count):
            camera.kill()
            downs = log.counts.get(Code.SRC_DOWN, 0)
            await asyncio.sleep(chance.uniform(0.1, 2))
            await asyncio.to_thread(camera.restart)
            took_s.append(await watcher.more(1, 20))
            assert log.counts.get(Code.SRC_DOWN, 0) > downs or downs
        assert Code.OUT_DOWN not in log.counts
    p95_s = percentile(took_s, 0.95)
    figure("kills of a camera", f"{count}: p95 {p95_s:.1f} s, at most {max(took_s):.1f} s")
    assert p95_s <= 6  # 3 on a machine that has nothing else to do
    assert max(took_s) <= 10


@counts(20, 1000, hours=1)
def test_reconnects_leave_nothing_behind(
    rtsp_camera: Camera, clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(reopened, "Backoff", lambda *_: Backoff(0.01, 0.05))
    camera = rtsp_camera(clip(width=160, height=90))
    with TcpProxy(camera.port) as proxy, Reader(camera.url_as(None, port=proxy.port)) as reader:
        reader.wait_for_frames(1)
        for done in range(count):
            proxy.reset()
            reader.wait_for(lambda n=done: reader.source.reconnects > n, 20)
            reader.items.clear()
            reader.events.clear()
            if done == count // 10:
                before = Usage.of()
        after = Usage.of()
    figure("reconnects", f"{count}: {before}, then {after}")
    before.assert_flat(after)


@counts(1, 20, hours=1)
async def test_a_camera_that_returns_as_another_is_upscaled_again(
    rtsp_camera: Camera, clip: Callable[..., Path], count: int
) -> None:
    chance, shape, took_s = random.Random(2), 0, []
    camera = rtsp_camera(clip(**SHAPES[shape]))
    async with running({"name": "cam", "input": {"url": camera.url}}) as (node, _log):
        watcher = Watcher(node, "cam")
        await watcher.more(5, 20)
        for _ in range(count):
            shape = chance.choice([n for n in range(len(SHAPES)) if n != shape])
            await asyncio.to_thread(camera.restart, clip(**SHAPES[shape]))
            took_s.append(await watcher.more(5, 20))
            assert len(watcher.sizes) == 1, "the output keeps its size"
    figure("cameras that return as another", f"{count} pairs: at most {max(took_s):.1f} s")
    assert max(took_s) <= 10  # 5 on a machine that has nothing else to do


@pytest.mark.parametrize(
    "loss", [pytest.param(share, marks=soak(0.2)) for share in (0.01, 0.05, 0.2)]
)
def test_no_damaged_frame_is_shown_whatever_is_lost(
    rtsp_camera: Camera, clip: Callable[..., Path], loss: float
) -> None:
    shown = clip(width=160, height=90, gop=12)
    truth = [frame.planes[0].astype(int) for frame in file_frames(shown)]
    with Reader(rtsp_camera(shown, loss=loss).url, transport="udp") as reader:
        reader.wait_for_frames(60, 100)
    damaged = sum(
        (number := read_number(frame.planes[0])) is None
        or abs(truth[number] - frame.planes[0]).mean() >= 1
        for frame in reader.frames
    )
    figure(f"packets lost, {loss:.0%}", f"{damaged} damaged frames of {len(reader.frames)}")
    assert damaged == 0


@contextmanager
def garbage_camera() -> Iterator[str]:
    """The address of a camera whose H.264 is damaged from its second second on."""
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            chance = random.Random(3)
            coded = (packet for packet in packets() if packet.track == "output")
            for number, packet in enumerate(coded):
                data = bytearray(packet.data)
                for _ in range(len(data) // 20 if number > 25 else 0):
                    data[chance.randrange(5, len(data))] = chance.randrange(256)
                try:
                    self.wfile.write(data)
                except OSError:
                    return
                if gone.wait(0.02):
                    return

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/live.h264"
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


@counts(6, 60)
def test_a_storm_of_errors_is_quiet_and_cheap(count: int, caplog: pytest.LogCaptureFixture) -> None:
    """For so many seconds."""
    from streamsr.core.events.journal import logged_journal

    log = logged_journal()
    stop = threading.Event()
    with garbage_camera() as url:
        source = LiveSource(url, log)
        threading.Timer(count, stop.set).start()
        begun_s, spent_s = monotonic(), process_time()
        for _ in source.items(stop):
            pass
        wall_s = monotonic() - begun_s
        cores = (process_time() - spent_s) / wall_s
    lines = [record for record in caplog.records if record.name.startswith("streamsr")]
    figure("a storm of errors", f"{count} s: {len(lines)} lines, {cores:.2f} cores")
    assert wall_s < count + 5
    assert 1 <= len(lines) <= count + 10
    assert cores <= 1
