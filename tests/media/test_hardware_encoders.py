"""Encoders of this build that stand for hardware: taken where they encode right, else left."""

import ctypes
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, get_args

import av
import av.codec
import pytest
from peers import read_number, scene
from peers.encoders import RIGHT, X264, FailingContext

from streamsr.core.errors import OutputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.settings import EncoderSettings
from streamsr.core.settings.stream import Preset
from streamsr.media.encoder import VideoEncoder
from streamsr.media.encoder_options import FORMATS, filled, lookahead_of
from streamsr.media.hardware.choice import HardwareChoice, TrialError
from streamsr.media.hardware.encoders import ENCODERS, HardwareEncoder
from streamsr.media.hardware.request import CodedStream, TrialRequest
from streamsr.media.hardware.trial import try_encoder
from streamsr.media.pixels import planes_of
from streamsr.zoo.measured import Measured

RATE = Fraction(25)
TICK = Fraction(1, 90_000)
TAGS = ColourTags(1, 1, 1)
STREAM = CodedStream.of((160, 96), TAGS, rate=RATE)
LIVE = filled(EncoderSettings())


def like_right(name: str, **options: str) -> HardwareEncoder:
    """The right one, with more said in x264's words."""
    words = replace(X264, always=X264.always | options)
    return replace(RIGHT, name=f"h264_{name}", words=words)


GARBAGE = like_right("garbage", qmin="51")
HOLDS = replace(RIGHT, name="h264_holds", words=replace(X264, live={"rc-lookahead": "4"}))
NO_HEADERS = like_right("headers", flags="+global_header")
WRONG_TAGS = like_right("tags", **{"x264-params": "colormatrix=smpte170m"})
OTHER_CODEC = replace(RIGHT, name="h264_other", library="mpeg2video", formats=("yuv420p", ""))
UNKNOWN = like_right("unknown", nonsense="1")
# FFmpeg's own NVENC, which finds no driver where there is none
NVENC = replace(ENCODERS[0], devices=(), runtime="")
SLOW = like_right("slow", **{"x264-params": "me=tesa:merange=64:subme=11:ref=16:trellis=2"})


def frames(count: int) -> list[Frame]:
    return [Frame(p, TAGS, 3600 * n, TICK) for n, p in enumerate(scene(160, 96, count))]


@pytest.fixture
def choice_of(tmp_path: Path) -> Callable[..., HardwareChoice]:
    def choose(*encoders: HardwareEncoder, limit_s: float = 60.0) -> HardwareChoice:
        return HardwareChoice(encoders, Measured(tmp_path), limit_s)

    return choose


def test_auto_takes_the_first_that_encodes_right(
    choice_of: Callable[..., HardwareChoice], monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = choice_of(UNKNOWN, RIGHT)
    assert choice.encoder_for(LIVE, STREAM) is RIGHT
    told = choice.told(LIVE, STREAM, "libx264")
    assert told.startswith("h264_right, whose trial encoded right; h264_unknown: ")
    assert "nonsense" in told
    monkeypatch.setattr("streamsr.media.hardware.choice.TRIAL", "no.such.module")
    assert choice_of(RIGHT).encoder_for(LIVE, STREAM) is RIGHT, "it is kept what passed"
    larger = replace(STREAM, width=320)
    assert choice_of(RIGHT).encoder_for(LIVE, larger) is None, "another size is another trial"


@pytest.mark.parametrize(
    ("encoder", "why"),
    [
        (GARBAGE, "dB are wanted"),
        (HOLDS, "it holds frames"),
        (NO_HEADERS, "decoded"),
        (WRONG_TAGS, "matrix is 6, wanted 1"),
        (OTHER_CODEC, "encoder: h264_other"),
        (NVENC, "h264_nvenc"),
        (replace(RIGHT, library="h264_none"), "this FFmpeg has no such encoder"),
        (replace(RIGHT, devices=("/dev/no-such*",)), "no device (/dev/no-such*)"),
        (replace(RIGHT, runtime="libno-such.so.1"), "libno-such.so.1 cannot be loaded"),
        (replace(RIGHT, words=replace(X264, quality=None)), "kbit_s asks for"),
    ],
    ids=lambda value: value.name if isinstance(value, HardwareEncoder) else "",
)
def test_one_that_encodes_wrong_is_left(
    choice_of: Callable[..., HardwareChoice], encoder: HardwareEncoder, why: str
) -> None:
    choice = choice_of(encoder)
    assert choice.encoder_for(LIVE, STREAM) is None
    told = choice.told(LIVE, STREAM, "libx264")
    assert told.startswith(f"libx264 on the CPU; {encoder.name}: ")
    assert why in told


@pytest.mark.parametrize("tags", [ColourTags(6, 6, 6), ColourTags(5, 5, 6, True)], ids=str)
def test_colours_reach_it_as_they_are(tags: ColourTags) -> None:
    """Its frames are converted to the format that it takes, and to nothing else."""
    stream = replace(STREAM, tags=tags, width=322, height=182, aspect="16/11", rate="30000/1001")
    assert try_encoder(TrialRequest(RIGHT, LIVE.model_dump_json(), stream)) > 40


def test_one_that_makes_no_keyframe_when_asked_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    request = TrialRequest(RIGHT, LIVE.model_dump_json(), STREAM)
    assert try_encoder(request) > 40
    monkeypatch.setattr(VideoEncoder, "request_keyframe", lambda encoder: None)
    with pytest.raises(TrialError, match="no keyframe where one was asked for"):
        try_encoder(request)


@pytest.mark.parametrize("depth", [8, 10])
def test_a_file_of_hevc_keeps_its_bits(depth: int) -> None:
    words = replace(X264, always={"forced-idr": "1", "x265-params": "log-level=error:pools=none"})
    encoder = HardwareEncoder("hevc_right", "hevc", words, formats=FORMATS, library="libx265")
    asked = EncoderSettings(codec="hevc", preset="veryfast", hardware="hevc_right")
    settings = filled(asked, low_delay=False).model_dump_json()
    request = TrialRequest(encoder, settings, replace(STREAM, depth=depth))
    assert try_encoder(TrialRequest.decoded(request.encoded())) > 40


def test_one_that_hangs_is_given_up(choice_of: Callable[..., HardwareChoice]) -> None:
    large = replace(STREAM, width=3840, height=2160)
    choice = choice_of(SLOW, limit_s=2.0)
    assert choice.encoder_for(LIVE, large) is None
    assert "longer than 2 s" in choice.told(LIVE, large, "libx264")
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    left = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()]
    assert not [line for line in left if b"hardware.trial" in line]


def test_a_name_that_fails_is_an_error_that_says_what_passes(
    choice_of: Callable[..., HardwareChoice],
) -> None:
    asked = LIVE.model_copy(update={"hardware": "h264_nvenc"})
    with pytest.raises(OutputError) as caught:
        VideoEncoder(asked, frames(1)[0], RATE, Fraction(1), choice=choice_of(NVENC, RIGHT))
    message = str(caught.value)
    assert "encoder.hardware: got h264_nvenc, which cannot encode 160x96 here: " in message
    assert message.endswith("allowed is auto, off, h264_right")
    with pytest.raises(OutputError, match=r"none of that name for h264; allowed is auto, off$"):
        choice_of().encoder_for(asked, STREAM)


def test_files_and_off_are_the_cpus(choice_of: Callable[..., HardwareChoice]) -> None:
    choice = choice_of(RIGHT)
    kept = filled(EncoderSettings(), low_delay=False)
    assert choice.encoder_for(kept, STREAM) is None
    assert choice.encoder_for(LIVE.model_copy(update={"hardware": "off"}), STREAM) is None
    named = kept.model_copy(update={"hardware": "h264_right", "preset": "medium"})
    assert choice.encoder_for(named, STREAM) is RIGHT, "of a file with B-frames, by its name"


class HangingContext(FailingContext):
    """An encoder that hangs at its nth frame, as where a driver waits for a device."""

    ends = threading.Event()

    def encode(self, frame: av.VideoFrame | None) -> list[av.Packet]:
        try:
            return super().encode(frame)
        except av.FFmpegError:
            self.ends.wait(60)
            raise


def test_one_that_hangs_in_mid_stream_loses_nothing_either(
    choice_of: Callable[..., HardwareChoice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsr.media.encoder.HANGS_S", 0.5)
    given = frames(4)
    encoder = VideoEncoder(LIVE, given[0], RATE, Fraction(1), choice=choice_of(RIGHT))
    packets = encoder.encode(given[0])
    context = encoder.context = HangingContext(encoder.context, 1)  # type: ignore[assignment]
    packets += [packet for frame in given[1:] for packet in encoder.encode(frame)]
    assert [packet.pts for packet in packets] == [frame.pts for frame in given]
    assert "takes longer than 0.5 s" in encoder.fallen_back()
    assert any(thread.name == "h264_right" for thread in threading.enumerate())
    context.ends.set()
    until_over = [t for t in threading.enumerate() if t.name == "h264_right"]
    for thread in until_over:
        thread.join(20)
        assert not thread.is_alive(), "the thread ends with its call"


def test_one_that_fails_in_mid_stream_loses_nothing(
    choice_of: Callable[..., HardwareChoice],
) -> None:
    choice, given = choice_of(RIGHT), frames(8)
    encoder = VideoEncoder(LIVE, given[0], RATE, Fraction(1), choice=choice)
    assert encoder.context.pix_fmt == "nv12"
    encoder.context = FailingContext(encoder.context, 4)  # type: ignore[assignment]
    packets = [packet for frame in given for packet in encoder.encode(frame)]
    assert [packet.pts for packet in packets] == [frame.pts for frame in given]
    assert [packet.is_keyframe for packet in packets] == [n in (0, 3) for n in range(8)]
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    images = [image for packet in packets for image in decoder.decode(packet)]
    images += decoder.decode(None)
    assert [read_number(planes_of(image)[0]) for image in images] == list(range(8))
    assert encoder.fallen_back().startswith("h264_right failed: ")
    assert encoder.fallen_back() == ""
    assert encoder.news() == ""
    assert choice.encoder_for(LIVE, STREAM) is None, "auto takes it no more"


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
def test_this_ffmpeg_knows_every_option_and_its_value(encoder: HardwareEncoder) -> None:
    if encoder.name not in av.codec.codecs_available:
        pytest.skip(f"this FFmpeg has no {encoder.name}")
    avutil, avcodec = (_library(name) for name in ("avutil", "avcodec"))
    for call in (avcodec.avcodec_find_encoder_by_name, avcodec.avcodec_alloc_context3):
        call.restype = ctypes.c_void_p
    avutil.av_opt_set.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
    found = avcodec.avcodec_find_encoder_by_name(encoder.name.encode())
    context = ctypes.c_void_p(avcodec.avcodec_alloc_context3(ctypes.c_void_p(found)))
    rates: tuple[dict[str, Any], ...] = ({"crf": 0, "max_kbit_s": 900}, {"crf": 51}, {"kbit_s": 80})
    for preset, rate, live in product(get_args(Preset), rates, (True, False)):
        asked = EncoderSettings(codec=encoder.codec, preset=preset, **rate)  # type: ignore[arg-type]
        settings = filled(asked, low_delay=live)
        if encoder.not_held(settings, deep=False, hdr=False):
            continue
        options = encoder.options(settings, RATE, lookahead_of(settings, RATE))
        for key, value in options.items():
            done = avutil.av_opt_set(context, key.encode(), value.encode(), 1)
            assert done == 0, f"{key}={value}: {done}"


def _library(name: str) -> Any:
    """The library that PyAV brings along and has loaded."""
    paths = sorted((Path(av.__file__).parents[1] / "av.libs").glob(f"lib{name}-*"))
    if not paths:
        pytest.skip("PyAV uses the system's FFmpeg")
    return ctypes.CDLL(str(paths[0]))
