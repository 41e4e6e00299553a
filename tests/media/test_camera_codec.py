"""What a camera's encoder does: as many frames as went in, at about the rate that was asked for."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from peers import read_number, scene

from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.media.camera_codec import CameraCoding, QuantiserSearch, coded


def scene_frames(count: int, width: int = 160, height: int = 96, full: bool = False) -> list[Frame]:
    tags = ColourTags(1, 1, 1, full_range=full)
    return [
        Frame(tuple(planes), tags, 40 * n, Fraction(1, 1000))
        for n, planes in enumerate(scene(width, height, count))
    ]


def error(one: Frame, other: Frame) -> float:
    """Root of the mean squared difference of their luma, in levels."""
    return float(np.sqrt(np.mean((one.planes[0].astype(float) - other.planes[0]) ** 2)))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_every_frame_comes_out_in_its_place(codec: str) -> None:
    sent = scene_frames(30)
    got = list(coded(sent, CameraCoding(codec=codec, kbit_s=1500, gop=12, preset="ultrafast")))  # type: ignore[arg-type]
    assert [frame.pts for frame in got] == [frame.pts for frame in sent]
    assert [read_number(f.planes[0]) for f in got] == [read_number(f.planes[0]) for f in sent]
    assert {frame.colour for frame in got} == {sent[0].colour}
    assert [n for n, frame in enumerate(got) if frame.keyframe] == [0, 12, 24]
    assert 0 < error(got[20], sent[20]) < 12


def test_fewer_bits_show_less() -> None:
    sent = scene_frames(25)
    errors = [
        np.mean([error(*pair) for pair in zip(coded(sent, CameraCoding(kbit_s=k)), sent)])  # noqa: B905
        for k in (90, 360, 1440)
    ]
    assert errors[0] > 1.3 * errors[1] > 1.69 * errors[2]


@pytest.mark.parametrize("kbit_s", [90, 360])
def test_a_frame_says_how_many_bytes_it_took(kbit_s: int) -> None:
    got = list(coded(scene_frames(50), CameraCoding(kbit_s=kbit_s)))
    share = 160 * 96 / (320 * 180)
    spent = 8 * sum(frame.packet_bytes for frame in got) / 2 / 1000  # in two seconds
    assert spent == pytest.approx(share * kbit_s, rel=0.35)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_quantiser_is_constant_whatever_the_rate(codec: str) -> None:
    sent = scene_frames(12)
    at = [CameraCoding(codec=codec, qp=qp, kbit_s=90) for qp in (20, 32, 44)]  # type: ignore[arg-type]
    got = [list(coded(sent, coding)) for coding in at]
    errors = [np.mean([error(*pair) for pair in zip(one, sent, strict=True)]) for one in got]
    assert errors[0] < 3
    assert errors[2] > 1.5 * errors[1] > 2.25 * errors[0]
    richer = coded(sent, replace(at[1], kbit_s=9000))
    for one, other in zip(got[1], richer, strict=True):
        np.testing.assert_array_equal(one.planes[0], other.planes[0])


def test_a_rate_is_meant_for_a_sub_stream() -> None:
    """A frame of four times the pixels gets four times the bits, and looks as good."""
    small = scene_frames(25)
    large = [replace(f, planes=tuple(np.tile(p, (2, 2)) for p in f.planes)) for f in small]
    same, fewer = CameraCoding(kbit_s=360), CameraCoding(kbit_s=90)
    errors = [
        np.mean([error(*pair) for pair in zip(coded(sent, how), sent, strict=True)])
        for sent, how in ((small, same), (large, same), (large, fewer))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.15)
    assert errors[2] > 1.3 * errors[0]


@pytest.mark.parametrize("gop", [50, 1], ids=["a GOP", "keyframes alone"])
def test_the_quantiser_of_a_stream_is_found(gop: int) -> None:
    search = QuantiserSearch()
    found = {}
    for qp in (20, 28, 36):
        sent = list(coded(scene_frames(14), CameraCoding(qp=qp, gop=gop)))
        found[qp] = search.of(sent[2:])
    assert all(qp - 4 <= quantiser <= qp + 1 for qp, quantiser in found.items())


def test_a_search_begins_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int | None] = []

    def noted(frames: list[Frame], coding: CameraCoding) -> Iterator[Frame]:
        tried.append(coding.qp)
        return coded(frames, coding)

    monkeypatch.setattr("streamsr.media.camera_codec.coded", noted)
    sent = list(coded(scene_frames(14), CameraCoding(qp=40)))
    search = QuantiserSearch()
    quantiser = search.of(sent)
    assert tried[0] != quantiser
    tried.clear()
    assert abs(search.of(sent) - quantiser) <= 1
    assert tried[0] == quantiser
    assert len(tried) <= 2


def test_keyframes_do_not_count_beside_others() -> None:
    sent = list(coded(scene_frames(30), CameraCoding(qp=30, gop=10)))
    quantisers = [QuantiserSearch().of(sent[start : start + 10]) for start in (1, 5, 10)]
    assert max(quantisers) - min(quantisers) <= 3


def test_frames_that_were_not_coded_have_no_quantiser() -> None:
    with pytest.raises(ValueError, match="without packet_bytes"):
        QuantiserSearch().of(scene_frames(3))


def test_a_coding_is_the_same_every_time() -> None:
    one, other = (list(coded(scene_frames(10), CameraCoding(kbit_s=225))) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        for a, b in zip(first.planes, second.planes, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("full", [False, True])
def test_the_range_is_the_codings(full: bool) -> None:
    """Black and white stay what they are, in the levels of the range that is asked for."""
    luma = np.full((64, 64), 16, np.uint8)
    luma[:, 32:] = 235
    grey = np.full((32, 32), 128, np.uint8)
    sent = [Frame((luma, grey, grey), ColourTags(1, 1, 1), n, Fraction(1, 25)) for n in range(3)]
    *_, last = coded(sent, CameraCoding(kbit_s=28_000, full_range=full))
    assert last.colour.full_range == full
    black, white = (float(last.planes[0][:, part].mean()) for part in (slice(0, 24), slice(40, 64)))
    assert (black, white) == pytest.approx((0, 255) if full else (16, 235), abs=2)


def test_what_an_encoder_refuses_is_said() -> None:
    with pytest.raises(InputError, match="coding of 24x16 as h264"):
        list(coded(scene_frames(2, 24, 16), CameraCoding(preset="none")))
    assert list(coded([], CameraCoding())) == []
