"""Ten bits and HDR from file to file: kept in HEVC, made BT.709 in H.264."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.core.frame import HdrMetadata
from streamsr.media.pixels import hdr_metadata, planes_of

if TYPE_CHECKING:
    from conftest import Streamsr

Upscaled = Callable[..., dict[str, Any]]

WIDTH, HEIGHT, SCALE = 160, 96, 2
LIGHT = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
PQ, BT709, BT2020 = 16, 1, 9


def ramp(scale: int = 1) -> NDArray[np.float64]:
    """Luma in 10 bits from 100 to 700, half a level apart at the output's size."""
    across = (np.arange(WIDTH * scale) + 0.5) / scale - 0.5
    down = (np.arange(HEIGHT * scale) + 0.5) / scale - 0.5
    return 100 + across[None] * 3 + down[:, None]


@pytest.fixture(scope="module")
def hdr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradient in PQ, nearly lossless, which says what display it was made on."""
    path = tmp_path_factory.mktemp("hdr") / "in.mkv"
    with av.open(path, "w") as out:
        video = out.add_stream("libx265", rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p10le"
        parameters = f"log-level=error:{LIGHT}:max-cll=900,400"
        video.options = {"preset": "ultrafast", "crf": "0", "x265-params": parameters}
        context = video.codec_context
        context.colorspace, context.color_primaries = BT2020, BT2020
        context.color_trc, context.color_range = PQ, 1
        for number in range(6):
            image = av.VideoFrame(WIDTH, HEIGHT, "yuv420p10le")
            for plane, value in zip(planes_of(image), (np.rint(ramp()), 512, 512), strict=True):
                plane[...] = value
            image.pts, image.time_base = number, Fraction(1, 25)
            out.mux(video.encode(image))
        out.mux(video.encode(None))
    return path


def last_of(path: Path) -> av.VideoFrame:
    with av.open(path) as container:
        return list(container.decode(video=0))[-1]


@pytest.mark.parametrize(
    ("model", "suffix"), [("bicubic", ".mp4"), ("fast", ".mkv"), ("fast-small", ".mp4")]
)
def test_hevc_keeps_ten_bits_and_all_that_is_said_of_them(
    hdr: Path, tmp_path: Path, streamsr: "Streamsr", model: str, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    options = ("--codec", "hevc", "--crf", 4, "--scale", SCALE, "--device", "cpu")
    done = streamsr("upscale", hdr, out, "--model", model, *options)
    assert done.exit_code == 0, done.stderr
    image = last_of(out)
    assert image.format.name == "yuv420p10le"
    assert (image.colorspace, image.color_primaries, image.color_trc) == (BT2020, BT2020, PQ)
    points = (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450)
    assert hdr_metadata(image) == HdrMetadata(points, (50, 10_000_000), (900, 400))
    luma = planes_of(image)[0].astype(float)
    assert len(np.unique(luma)) > 500
    inner = slice(16, -16)
    error = (luma - ramp(SCALE))[inner, inner]
    assert 10 * np.log10(1023**2 / np.square(error).mean()) > 60  # 8 bits: 58.9 at best


def test_h264_has_eight_bits_in_bt709(hdr: Path, tmp_path: Path, upscaled: Upscaled) -> None:
    out = tmp_path / "out.mp4"
    upscaled(hdr, out, "--scale", SCALE)
    image = last_of(out)
    assert image.format.name == "yuv420p"
    assert (image.colorspace, image.color_primaries, image.color_trc) == (BT709, BT709, BT709)
    assert hdr_metadata(image) is None


@pytest.mark.parametrize(
    ("depth", "name", "transfer"), [(8, "yuv420p", 1), (10, "yuv420p10le", 16)]
)
def test_the_depth_of_hevc_can_be_named(
    hdr: Path, tmp_path: Path, upscaled: Upscaled, depth: int, name: str, transfer: int
) -> None:
    out = tmp_path / "out.mp4"
    upscaled(hdr, out, "--codec", "hevc", "--set", f"encoder.depth={depth}")
    image = last_of(out)
    assert (image.format.name, image.color_trc) == (name, transfer)
