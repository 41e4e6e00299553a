"""Cameras of 10 bits and HDR: SDR of 8 bits, or as they are where a file of HEVC takes them."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from peers import ScriptedCamera, access_units, scene
from peers.live_reader import Reader

from streamsr.core.events import Code
from streamsr.core.frame import Frame

pytestmark = pytest.mark.usefixtures("no_thread_left")

PQ, HLG = 16, 18


def deep_clip(path: Path, transfer: int) -> Path:
    """HEVC Main10 in BT.2020."""
    with av.open(path, "w") as out:
        video = out.add_stream("libx265", rate=25)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p10le"
        video.codec_context.color_primaries = video.codec_context.colorspace = 9
        video.codec_context.color_trc = transfer
        parameters = "keyint=25:bframes=0:repeat-headers=1:log-level=none:pools=none"
        video.options = {"preset": "ultrafast", "x265-params": parameters}
        for pts, (luma, *_) in enumerate(scene(160, 90, 50)):
            image = av.VideoFrame.from_ndarray(luma, format="gray").reformat(format="yuv420p10le")
            image.pts, image.time_base = pts, Fraction(1, 25)
            out.mux(video.encode(image))
        out.mux(video.encode(None))
    return path


@pytest.fixture(scope="module", params=[PQ, HLG], ids=["PQ", "HLG"])
def units(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return access_units(deep_clip(tmp_path_factory.mktemp("deep") / "hdr.mp4", request.param))


def seen(units: list[bytes], bits: int | None) -> list[Frame]:
    with ScriptedCamera(units, codec="H265") as camera, Reader(camera.url, bits=bits) as reader:
        reader.wait_for_frames(30)
    assert Code.SRC_TIME not in reader.codes, "nothing held the camera up"
    return reader.frames


def test_hdr_is_sdr_where_it_has_8_bits(units: list[bytes]) -> None:
    for frame in seen(units, 8):
        assert (frame.depth, frame.colour.transfer, frame.colour.primaries) == (8, 1, 1)


def test_hdr_stays_hdr_where_a_file_keeps_it(units: list[bytes]) -> None:
    for frame in seen(units, None):
        assert frame.depth == 10
        assert frame.colour.transfer in (PQ, HLG)
        assert frame.colour.primaries == 9
