"""The encoder, seen by a decoder: colours, tags, keyframes, time stamps and foreign sizes."""

from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest
from peers import read_number, scene

from streamsr.core.errors import OutputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.pixels import planes_of

TICK = Fraction(1, 90_000)
RATE = Fraction(25)
SHARP = EncoderSettings(crf=1)
TAGS = [ColourTags(m, m, m, full) for m, full in product((6, 1), (False, True))]


def flat(
    levels: tuple[int, int, int],
    pts: int = 0,
    *,
    size: tuple[int, int] = (48, 64),
    tags: ColourTags,
) -> Frame:
    height, width = size
    shapes = ((height, width), *[(-(-height // 2), -(-width // 2))] * 2)
    planes = tuple(np.full(s, v, np.uint8) for s, v in zip(shapes, levels, strict=True))
    return Frame(planes, tags, pts, TICK)


def levels_of(rgb: tuple[float, float, float], tags: ColourTags) -> tuple[float, float, float]:
    """Y'CbCr levels of R'G'B' in [0, 1], by the definition of BT.601 and BT.709."""
    red, green, blue = rgb
    kr, kb = (0.2126, 0.0722) if tags.matrix == 1 else (0.299, 0.114)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    if tags.full_range:
        return 255 * luma, 128 + 255 * cb, 128 + 255 * cr
    return 16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr


def numbered(count: int, tags: ColourTags = TAGS[2]) -> list[Frame]:
    images = scene(128, 72, count, full_range=tags.full_range)
    return [Frame(planes, tags, 3600 * n, TICK) for n, planes in enumerate(images)]


def encoder_of(
    first: Frame, settings: EncoderSettings = SHARP, aspect: Fraction = Fraction(1)
) -> VideoEncoder:
    return VideoEncoder(settings, first, RATE, aspect)


def decoded(packets: list[av.Packet]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    images = [p for packet in packets for p in decoder.decode(packet)]
    return images + decoder.decode(None)


def test_a_packet_leaves_with_its_frame() -> None:
    frames = numbered(6)
    encoder = encoder_of(frames[0])
    packets = []
    for frame in frames:
        (packet,) = encoder.encode(frame)
        assert packet.pts == packet.dts == frame.pts
        assert packet.time_base == TICK
        packets.append(packet)
    assert encoder.flush() == []
    assert (encoder.width, encoder.height) == (128, 72)
    assert [read_number(planes_of(p)[0]) for p in decoded(packets)] == list(range(6))


@pytest.mark.parametrize("tags", TAGS, ids=str)
def test_colour_and_pixel_shape_are_in_the_bitstream(tags: ColourTags) -> None:
    levels = (90, 100, 170)
    frame = flat(levels, tags=tags)
    encoder = encoder_of(frame, aspect=Fraction(16, 11))
    (image,) = decoded(encoder.encode(frame))
    assert (image.colorspace, image.color_primaries, image.color_trc) == (
        tags.matrix,
        tags.primaries,
        tags.transfer,
    )
    assert image.color_range == (2 if tags.full_range else 1)
    for plane, level in zip(planes_of(image), levels, strict=True):
        assert np.abs(plane.astype(int) - level).max() <= 1
    assert encoder.context.sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize(
    "rgb", [(255, 255, 255), (0, 0, 0), (191, 0, 0), (0, 191, 0), (0, 0, 191), (120, 80, 200)]
)
def test_rgb_is_encoded_by_bt709_in_limited_range(rgb: tuple[int, int, int]) -> None:
    pixels = np.tile(np.uint8(rgb), (48, 64, 1))
    frame = Frame((pixels,), ColourTags(0, 1, 13, True), 0, TICK)
    (image,) = decoded(encoder_of(frame).encode(frame))
    red, green, blue = (value / 255 for value in rgb)
    expected = levels_of((red, green, blue), ColourTags(1, 1, 1))
    assert (image.colorspace, image.color_range) == (1, 1)
    for plane, level in zip(planes_of(image), expected, strict=True):
        assert np.abs(plane - level).max() <= 2


def test_keyframes_come_at_the_gop_and_when_they_are_asked_for() -> None:
    frames = numbered(30)
    encoder = encoder_of(frames[0], EncoderSettings(gop_s=0.4))
    keys = []
    for number, frame in enumerate(frames):
        if number == 13:
            encoder.request_keyframe()
        (packet,) = encoder.encode(frame)
        if packet.is_keyframe:
            keys.append(number)
            first = decoded([packet])  # it is IDR: decoding can start here
            assert [read_number(planes_of(p)[0]) for p in first] == [number]
    assert keys == [0, 10, 13, 23]


def test_time_stamps_that_do_not_rise_are_made_to() -> None:
    frames = numbered(3)
    stuck = [Frame(f.planes, f.colour, pts, TICK) for f, pts in zip(frames, (5, 5, 4), strict=True)]
    encoder = encoder_of(stuck[0])
    assert [p.pts for f in stuck for p in encoder.encode(f)] == [5, 6, 7]


def test_another_time_base_is_converted() -> None:
    frames = numbered(2)
    encoder = encoder_of(frames[0])
    encoder.encode(frames[0])
    later = Frame(frames[1].planes, frames[1].colour, 2, Fraction(1, 25))
    assert encoder.encode(later)[0].pts == 7200


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("size", "bars"),
    [
        ((48, 32), (slice(None), slice(0, 14))),  # narrower: bars left and right
        ((24, 64), (slice(0, 10), slice(None))),  # lower: bars above and below
        ((96, 32), (slice(None), slice(0, 22))),  # shrunk to 48x16
    ],
)
def test_a_foreign_size_is_fitted_black_around_it(
    size: tuple[int, int], bars: tuple[slice, slice], full: bool
) -> None:
    tags = ColourTags(1, 1, 1, full)
    encoder = encoder_of(flat((120, 100, 160), tags=tags))
    encoder.encode(flat((120, 100, 160), tags=tags))
    encoder.request_keyframe()
    (image,) = decoded(encoder.encode(flat((180, 90, 170), 3600, size=size, tags=tags)))
    luma, *chroma = planes_of(image)
    assert luma.shape == (48, 64)
    black = 0 if full else 16
    assert np.abs(luma[bars].astype(int) - black).max() <= 2
    assert np.abs(luma[::-1, ::-1][bars].astype(int) - black).max() <= 2
    assert abs(int(luma[24, 32]) - 180) <= 2
    for plane, level in zip(chroma, (90, 170), strict=True):
        assert abs(int(plane[12, 16]) - level) <= 2
    assert abs(int(chroma[0][0, 0]) - 128) <= 2


def test_a_foreign_size_of_rgb_is_fitted_too() -> None:
    tags = ColourTags(0, 1, 13, True)
    images = [np.full((*size, 3), 255, np.uint8) for size in ((48, 64), (48, 32))]
    frames = [Frame((p,), tags, 3600 * n, TICK) for n, p in enumerate(images)]
    encoder = encoder_of(frames[0])
    packets = [p for f in frames for p in encoder.encode(f)]
    luma = planes_of(decoded(packets)[1])[0]
    assert abs(int(luma[24, 32]) - 235) <= 2
    assert abs(int(luma[24, 4]) - 16) <= 2


@pytest.mark.parametrize("size", [(48, 64), (48, 32)], ids=["same size", "other size"])
@pytest.mark.parametrize("first", TAGS, ids=str)
@pytest.mark.parametrize("then", TAGS, ids=str)
def test_a_change_of_colour_description_is_converted(
    first: ColourTags, then: ColourTags, size: tuple[int, int]
) -> None:
    """As when a camera changes its resolution: the file's tags are those of its first frame."""
    encoder = encoder_of(flat((120, 100, 160), tags=first))
    encoder.encode(flat((120, 100, 160), tags=first))
    encoder.request_keyframe()
    levels, expected = (levels_of((0.7, 0.35, 0.2), tags) for tags in (then, first))
    frame = flat(tuple(round(v) for v in levels), 3600, size=size, tags=then)
    (image,) = decoded(encoder.encode(frame))
    got = [float(plane[plane.shape[0] // 2, plane.shape[1] // 2]) for plane in planes_of(image)]
    assert got == pytest.approx(expected, abs=2)


def test_a_size_that_h264_has_not_is_an_output_error() -> None:
    with pytest.raises(OutputError, match=r"H\.264 of 16400x32"):
        encoder_of(flat((100, 128, 128), size=(32, 16400), tags=TAGS[0]))


def test_an_odd_size_loses_its_last_row_and_column(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "streamsr")
    encoder = encoder_of(flat((100, 128, 128), size=(49, 65), tags=TAGS[0]))
    assert (encoder.width, encoder.height) == (64, 48)
    assert encoder.encode(flat((100, 128, 128), size=(49, 65), tags=TAGS[0]))
    (record,) = caplog.records
    assert "65x49 is encoded as 64x48: H.264 in 4:2:0 has even sides" in record.getMessage()
