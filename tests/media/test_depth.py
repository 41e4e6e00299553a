"""Bits of what was decoded: HDR made into 8 of SDR, by the curve and out of files, or kept."""

import itertools
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame, HdrMetadata
from streamsr.media.depth import DepthConverter, ToneMapper
from streamsr.media.pixels import from_av, hdr_metadata, planes_of
from streamsr.media.tone_curve import HLG, LUMINANCE_709, PQ, TO_709, sdr_signal
from streamsr.sources.files import FileSource

Values = NDArray[np.float64]


def pq(light: Values | float) -> Values:
    """ITU-R BT.2100, table 4: cd/m² to the signal."""
    power = (np.asarray(light, float) / 10_000) ** (2610 / 16384)
    return np.asarray(
        ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    )


def grey(signal: Values | float, transfer: int = PQ, peak: float = 1000.0) -> Values:
    return sdr_signal(np.stack([np.asarray(signal, float)] * 3, -1), transfer, peak)[..., 1]


def test_white_is_nine_tenths_and_the_peak_is_all() -> None:
    assert grey(pq([0, 203, 1000])) == pytest.approx([0, 0.904, 1], abs=0.005)
    assert grey([0, 0.75, 1], HLG) == pytest.approx([0, 0.904, 1], abs=0.005)


def test_what_is_dark_is_as_bright_as_on_an_hdr_display() -> None:
    light = np.array([0.5, 2, 10, 40, 90])
    assert 203 * grey(pq(light)) ** 2.4 == pytest.approx(light, rel=0.02)


@pytest.mark.parametrize("peak", [203, 400, 1000, 4000, 10_000])
def test_more_light_is_never_less(peak: float) -> None:
    shown = grey(np.linspace(0, 1, 1024), PQ, peak)
    assert (np.diff(shown) >= -1e-9).all()
    assert shown[-1] == pytest.approx(1, abs=1e-3)


COLOURS = np.array(
    [[0.8, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.9], [0.8, 0.5, 0.35], [0.7, 0.6, 0.1]]
)


@pytest.mark.parametrize("light", [20, 150, 600])
def test_hues_stay(light: float) -> None:
    """The chromaticities of BT.709, whose colours an HDR camera sees as others do."""
    shown = sdr_signal(pq(COLOURS * light @ np.linalg.inv(TO_709).T), PQ) ** 2.4
    shares = [c / c.sum(-1, keepdims=True) for c in (shown, COLOURS)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_a_colour_beyond_bt709_keeps_its_luminance() -> None:
    green = pq(np.array([0.0, 80.0, 0.0]))
    shown = 203 * sdr_signal(green, PQ) ** 2.4
    assert shown @ LUMINANCE_709 == pytest.approx(80 * 0.678, rel=0.03)
    assert shown.argmax() == 1


def image_of(signal: Values, tags: ColourTags, name: str) -> av.VideoFrame:
    """R'G'B' (h, w, 3) of BT.2020 in PQ or HLG as an image in Y'CbCr, chroma over 4x4 blocks."""
    kr, kb = tags.kr_kb
    red, green, blue = np.moveaxis(signal, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / 2 / (1 - kb), (red - luma) / 2 / (1 - kr)]
    whole = [luma * 219 + 16, *(c[::2, ::2] * 224 + 128 for c in chroma)]
    bits = 10 if name.endswith("10le") else 8
    image = av.VideoFrame(signal.shape[1], signal.shape[0], name)
    for level, plane in zip(whole, image.planes, strict=True):
        samples = np.round(level * 2 ** (bits - 8)).astype(np.uint16 if bits > 8 else np.uint8)
        padded = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
        padded[:, : plane.width] = samples
        plane.update(padded.tobytes())
    image.colorspace, image.color_primaries = tags.matrix, tags.primaries
    image.color_trc, image.color_range = tags.transfer, 1
    image.pts, image.time_base = 0, Fraction(1, 25)
    return image


def patches(light: float, transfer: int = PQ) -> Values:
    """Five patches of 32x32, R'G'B' of BT.2020."""
    scene = COLOURS * light @ np.linalg.inv(TO_709).T
    signal = pq(scene) if transfer == PQ else np.clip(scene / 1000, 0, 1) ** (1 / 2.4)
    return np.repeat(signal[None], 32, 0).repeat(32, 1)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv420p"])
def test_an_image_follows_the_curve(transfer: int, name: str) -> None:
    tags = ColourTags(9, 9, transfer)
    signal = patches(300, transfer)
    made = ToneMapper().mapped(image_of(signal, tags, name), tags)
    assert (made.colorspace, made.color_primaries, made.color_trc, made.color_range) == (1, 1, 1, 1)
    luma = planes_of(made)[0].astype(float)
    expected = sdr_signal(signal, transfer) @ LUMINANCE_709 * 219 + 16
    centres = slice(12, None, 32)
    error = np.abs(luma[16, centres] - expected[16, centres])
    assert error.max() < (2 if name == "yuv420p10le" else 4)


def test_an_image_of_another_size_is_taken_too() -> None:
    mapper, tags = ToneMapper(), ColourTags(9, 9, PQ)
    for width in (64, 96, 64):
        signal = np.full((32, width, 3), 0.5)
        made = mapper.mapped(image_of(signal, tags, "yuv420p10le"), tags)
        assert (made.width, made.height) == (width, 32)


def hdr_file(path: Path, transfer: int, name: str = "yuv420p10le", parameters: str = "") -> Path:
    with av.open(path, "w") as out:
        video = out.add_stream("libx265", rate=25)
        video.width, video.height, video.pix_fmt = 160, 32, name
        video.options = {"x265-params": f"log-level=error:crf=4{parameters}"}
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, transfer
        context.color_range = 1
        for number in range(3):
            image = image_of(patches(300, transfer), ColourTags(9, 9, transfer), name)
            image.pts = number
            out.mux(video.encode(image))
        out.mux(video.encode(None))
    return path


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv420p"])
def test_a_files_frames_are_sdr_and_say_so(tmp_path: Path, transfer: int, name: str) -> None:
    path = hdr_file(tmp_path / "in.mp4", transfer, name)
    items = FileSource(str(path), lambda event: None).items(threading.Event())
    frames = [item for item in items if isinstance(item, Frame)]
    assert len(frames) == 3
    assert frames[0].keyframe
    for frame in frames:
        assert frame.colour == ColourTags(1, 1, 1)
        assert {plane.dtype for plane in frame.planes} == {np.dtype(np.uint8)}


MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"


def test_the_light_that_a_stream_states_is_read(tmp_path: Path) -> None:
    said = f":master-display={MASTERING}:max-cll=900,400"
    path = hdr_file(tmp_path / "in.mp4", PQ, parameters=said)
    with av.open(path) as container:
        image = next(container.decode(video=0))
    points = (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450)
    assert hdr_metadata(image) == HdrMetadata(points, (50, 40_000_000), (900, 400))


def test_a_stream_that_says_nothing_of_its_light_has_none(tmp_path: Path) -> None:
    with av.open(hdr_file(tmp_path / "in.mp4", HLG)) as container:
        assert hdr_metadata(next(container.decode(video=0))) is None


@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le", "yuv444p12le", "p010le"])
def test_ten_bits_are_kept_where_they_are_asked_for(name: str) -> None:
    luma = np.arange(256, 256 + 64, dtype=np.uint16)[None].repeat(48, 0)
    source = av.VideoFrame(64, 48, "yuv420p10le")
    for plane, value in zip(planes_of(source), (luma, 500, 530), strict=True):
        plane[...] = value  # type: ignore[index]
    source.colorspace, source.color_range = 1, 1
    image = source if name == "yuv420p10le" else source.reformat(format=name)
    frame = from_av(DepthConverter(None).converted(image), pts=0, time_base=Fraction(1, 25))
    assert (frame.depth, frame.colour.matrix, frame.hdr) == (10, 1, None)
    assert np.abs(frame.planes[0].astype(int) - luma).max() <= 1
    assert [int(np.median(plane)) for plane in frame.planes[1:]] == [500, 530]


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_that_is_kept_has_ten_bits(name: str, transfer: int) -> None:
    tags = ColourTags(9, 9, transfer)
    image = DepthConverter(None).converted(image_of(patches(300, transfer), tags, name))
    frame = from_av(image, pts=0, time_base=Fraction(1, 25))
    assert (frame.depth, frame.colour) == (10, tags)


def test_a_source_keeps_the_depth_it_began_with() -> None:
    converter, depths = DepthConverter(None), []
    for name in ("yuv420p10le", "yuv420p", "yuv420p10le"):
        image = converter.converted(av.VideoFrame(64, 48, name))
        depths.append(from_av(image, pts=0, time_base=Fraction(1, 25)).depth)
    assert depths == [10, 10, 10]


@pytest.mark.parametrize("name", ["bayer_bggr8", "gray32le", "y210be"])
@pytest.mark.parametrize("bits", [8, None, 10])
@pytest.mark.parametrize("transfer", [1, PQ])
def test_what_ffmpeg_cannot_convert_is_said(name: str, bits: int | None, transfer: int) -> None:
    image = av.VideoFrame(64, 48, name)
    image.color_trc, image.time_base = transfer, Fraction(1, 25)
    with pytest.raises(InputError, match=f"pixel format '{name}': FFmpeg cannot convert it"):
        from_av(DepthConverter(bits).converted(image), pts=0, time_base=Fraction(1, 25))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (39, 61)], ids=str)
@pytest.mark.parametrize("name", ["yuv410p", "pal8", "gray12le", "yuva444p10le", "gbrp12le"])
def test_an_image_of_any_size_is_taken(name: str, size: tuple[int, int]) -> None:
    for bits, transfer in itertools.product((8, None), (1, PQ)):
        image = av.VideoFrame(*size, name)
        image.color_trc, image.time_base = transfer, Fraction(1, 25)
        made = DepthConverter(bits).converted(image)
        frame = from_av(made, pts=0, time_base=Fraction(1, 25))
        assert (frame.width, frame.height) == size
        assert frame.depth > 8 or frame.colour.transfer != PQ


def test_rgb_in_hdr_is_mapped_too() -> None:
    image = av.VideoFrame(64, 48, "gbrp10le")
    for plane in image.planes:
        plane.update(np.full(plane.buffer_size // 2, 520, np.uint16).tobytes())
    image.color_trc, image.time_base = PQ, Fraction(1, 25)
    (luma, *_) = planes_of(DepthConverter().converted(image))
    level = float(grey(520 / 1023)) * 219 + 16
    assert luma.mean() == pytest.approx(level, abs=1)
