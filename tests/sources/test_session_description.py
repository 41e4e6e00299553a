"""A stream of RTP that an .sdp file describes: a live source, though its name is a file's."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from peers.clip import read_number, scene
from peers.live_reader import Reader
from test_live import rising

from streamsr.core.events import Code
from streamsr.core.settings import InputSettings
from streamsr.sources.live import LiveSource
from streamsr.sources.opening import open_source

DESCRIPTION = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=camera
c=IN IP4 127.0.0.1
t=0 0
m=video {port} RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
"""


@contextmanager
def rtp_camera(path: Path) -> Iterator[None]:
    """Numbered frames of 160x90, 25 a second, sent over RTP on loopback as ``path`` describes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1] & ~1
    path.write_text(DESCRIPTION.format(port=port))
    stop = threading.Event()

    def send() -> None:
        with av.open(f"rtp://127.0.0.1:{port}", "w", format="rtp") as out:
            video = out.add_stream("libx264", rate=25)
            video.width, video.height, video.gop_size = 160, 90, 10
            video.options = {"preset": "ultrafast", "tune": "zerolatency"}
            for number, (luma, *_) in enumerate(itertools.cycle(scene(160, 90, 100))):
                frame = av.VideoFrame.from_numpy_buffer(luma, "gray").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                out.mux(video.encode(frame))
                if stop.wait(0.04):
                    return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join(5)


def test_an_sdp_file_is_a_live_source(tmp_path: Path) -> None:
    path = tmp_path / "camera 1.sdp"
    with rtp_camera(path):
        assert isinstance(open_source(InputSettings(url=str(path)), print), LiveSource)
        with Reader(str(path)) as reader:
            reader.wait_for_frames(20)
    numbers = [read_number(frame.planes[0]) for frame in reader.frames]
    assert {(b - a) % 100 for a, b in itertools.pairwise(numbers)} == {1}
    assert rising([frame.pts for frame in reader.frames])
    assert Code.SRC_UP in reader.codes
