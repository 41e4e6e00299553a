"""HLS as a live source: segments arrive at once, and frames leave at their own pace."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import av
import pytest
from peers import read_number
from peers.live_reader import Reader

from streamsr.core.events import Code
from streamsr.core.settings import InputSettings
from streamsr.media.source import AudioFrame
from streamsr.sources.opening import open_source
from streamsr.sources.read_ahead import Pacer

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture(scope="module")
def segments(clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Twelve segments of one second."""
    folder = tmp_path_factory.mktemp("hls")
    options = {"hls_time": "1", "hls_list_size": "0"}
    with (
        av.open(str(clip(width=160, height=90, seconds=12.0))) as source,
        av.open(str(folder / "all.m3u8"), "w", format="hls", options=options) as out,
    ):
        copies = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    return [(folder / f"all{number}.ts").read_bytes() for number in range(12)]


@contextmanager
def served(segments: list[bytes], *, live: bool = True) -> Iterator[str]:
    """The address of a playlist that has grown by four segments, and goes on growing where live."""
    began = monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith(".ts"):
                body = segments[int(self.path[1:-3])]
            else:
                newest = min(len(segments), 4 + int(monotonic() - began) if live else len(segments))
                first = max(0, newest - 5) if live else 0
                lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1"]
                lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
                for number in range(first, newest):
                    lines += ["#EXTINF:1.0,", f"{number}.ts"]
                body = "\n".join([*lines, "" if live else "#EXT-X-ENDLIST\n"]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/live.m3u8"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_frames_of_segments_leave_at_their_own_pace(segments: list[bytes]) -> None:
    with served(segments) as url, Reader(url) as reader:
        reader.wait_for_frames(125)
    assert reader.codes == [Code.SRC_UP]
    numbers = [read_number(frame.planes[0]) for frame in reader.frames]
    assert {b - a for a, b in itertools.pairwise(numbers) if a is not None and b is not None} == {1}
    times = [frame.arrived for frame in reader.frames]
    assert times[-1] - times[0] == pytest.approx((len(times) - 1) / 25, abs=0.3)
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.5, "no burst, no pause"
    audio = [item for item in reader.items if isinstance(item, AudioFrame)]
    steps = [b.time_s - a.time_s for a, b in itertools.pairwise(audio)]
    assert max(steps) < 0.05, "the audio is whole"


def test_a_playlist_is_live_unless_it_has_an_end(segments: list[bytes]) -> None:
    with served(segments) as live, served(segments, live=False) as ended:
        assert open_source(InputSettings(url=live), lambda event: None).live
        assert not open_source(InputSettings(url=ended), lambda event: None).live


def test_frames_are_due_by_their_stamps() -> None:
    pacer = Pacer()
    assert [pacer.frame(n / 10, 100.0) for n in range(4)] == pytest.approx(
        [100, 100.1, 100.2, 100.3]
    )
    assert pacer.audio(0.25, 100.0) == pytest.approx(100.25)
    assert pacer.frame(0.4, 101.0) == 101.0, "it is late, and so are those after it"
    assert pacer.frame(0.5, 101.0) == pytest.approx(101.1)
    assert pacer.frame(900.0, 101.2) == pytest.approx(101.2), "its stamp jumped"
    assert pacer.frame(None, 101.3) == 101.3


def test_what_a_pause_of_the_server_took_is_caught_up() -> None:
    """Segments of 2 s, three of them at first, and one pause of 20 s."""
    delays = _delays(pause_s=20)
    assert max(delays) == pytest.approx(16, abs=0.1), "4 s were queued"
    assert delays[-1] <= 2.1, "it ends where three segments are queued all the time"
    later = delays[25 * 100 :]
    assert all(-1e-6 < a - b < 0.0011 for a, b in itertools.pairwise(later)), "a little a frame"


def test_a_steady_server_is_played_as_it_comes() -> None:
    assert max(map(abs, _delays(pause_s=0))) < 1e-6


def _delays(pause_s: float) -> list[float]:
    """How much later than its first frame each one is, of 20 minutes at 25 fps."""
    pacer, delays, now = Pacer(), list[float](), 0.0
    for number in range(25 * 1200):
        source_s = number / 25
        came = source_s // 2 * 2 - 4  # with its segment
        now = max(now, came + (pause_s if 30 <= came < 30 + pause_s else 0))
        paused = 30 <= now < 30 + pause_s
        pacer.read_to((30 if paused else now // 2 * 2) + 6)
        now = pacer.frame(source_s, now)
        delays.append(now - source_s)
    return delays
