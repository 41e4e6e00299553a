"""Colour bars through the whole path, into a file and into PNG: levels and tags come out right."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import streamsr
from streamsr.media.images import image_frames
from streamsr.sources.opening import file_frames

BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0),
        (191, 0, 191), (191, 0, 0), (0, 0, 191), (16, 16, 16)]  # fmt: skip
BAR = 16  # pixels wide
KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def ycc(rgb: tuple[int, int, int], matrix: int, full: bool) -> tuple[float, float, float]:
    """The bar's levels, by the definition of BT.601, BT.709 and BT.2020."""
    kr, kb = KR_KB[matrix]
    r, g, b = (v / 255 for v in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / 2 / (1 - kb), (r - y) / 2 / (1 - kr)
    if full:
        return y * 255, cb * 255 + 128, cr * 255 + 128
    return y * 219 + 16, cb * 224 + 128, cr * 224 + 128


def write_bars(path: Path, matrix: int, full: bool) -> None:
    """Two seconds of bars in a lossless H.264 file, tagged."""
    levels = [ycc(bar, matrix, full) for bar in BARS]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = BAR * len(BARS), 64, "yuv420p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_primaries = stream.codec_context.color_trc = matrix
        stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame(stream.width, 64, "yuv420p")
        for index, plane in enumerate(frame.planes):
            row = np.repeat([round(bar[index]) for bar in levels], BAR if index == 0 else BAR // 2)
            rows = np.zeros((plane.height, plane.line_size), np.uint8)
            rows[:, : plane.width] = row
            plane.update(rows.tobytes())
        for number in range(10):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def middles(plane: np.ndarray) -> Iterator[float]:
    """The mean of the middle of each bar."""
    width = plane.shape[1] // len(BARS)
    for index in range(len(BARS)):
        bar = plane[8:-8, index * width : (index + 1) * width]
        yield float(bar[:, width // 3 : -width // 3].mean())


async def upscale(source: Path, target: Path) -> None:
    settings = {
        "input": {"url": str(source)},
        "model": {"name": "bicubic", "device": "cpu"},
        "output": {"path": target},
    }
    async with streamsr.open_pipeline(settings) as pipeline:
        await pipeline.run()


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9], ids=["709", "601-625", "601-525", "2020"])
async def test_bars_keep_their_levels_and_tags(tmp_path: Path, matrix: int, full: bool) -> None:
    source, out, frames = tmp_path / "in.mp4", tmp_path / "out.mp4", tmp_path / "frames"
    write_bars(source, matrix, full)
    await upscale(source, out)
    *_, last = file_frames(out)
    assert (last.colour.matrix, last.colour.full_range) == (matrix, full)
    assert (last.colour.primaries, last.colour.transfer) == (matrix, matrix)
    for index, plane in enumerate(last.planes):
        expected = [ycc(bar, matrix, full)[index] for bar in BARS]
        assert list(middles(plane)) == pytest.approx(expected, abs=1)
    await upscale(source, frames)
    *_, image = image_frames(frames)
    for channel in range(3):
        expected = [float(bar[channel]) for bar in BARS]
        rounding = 2.0  # the source's own levels are whole numbers, in three planes
        assert list(middles(image.planes[0][..., channel])) == pytest.approx(expected, abs=rounding)


async def test_untagged_video_is_tagged_as_players_guessed_it(tmp_path: Path) -> None:
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([100]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    await upscale(source, out)
    *_, last = file_frames(out)
    assert last.colour.matrix == 6, "BT.601, which 192 lines alone would say as well"
    with av.open(str(out)) as container:
        assert next(container.decode(video=0)).colorspace == 6
