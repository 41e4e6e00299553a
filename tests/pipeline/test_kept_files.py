"""Files that are made of files: coded to be kept, and played as any other."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from peers import number_in, scene
from peers.killed import killed_once_written

from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.encoder_options import filled
from streamsr.media.muxing import FileWriter
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.pipeline.delivery import Delivery

RATE = Fraction(25)
HZ = 48_000
INFO = SourceInfo(128, 72, RATE, Fraction(1), "h264", "yuv420p", audio_codec="pcm_s16le")
FILES = pytest.mark.parametrize(
    ("codec", "suffix"), [(c, s) for c in ("h264", "hevc") for s in (".mp4", ".mkv")]
)


def settings(codec: str = "h264", **more: Any) -> EncoderSettings:
    return filled(EncoderSettings(codec=codec, preset="fast", **more), low_delay=False)


def frames(count: int) -> list[Frame]:
    return [
        Frame(planes, ColourTags(1, 1, 1), 3600 * number, Fraction(1, 90_000))
        for number, planes in enumerate(scene(128, 72, count))
    ]


def heard(number: int) -> AudioFrame:
    wave = (20_000 * np.sin(np.arange(1920) * 0.13)).astype(np.int16)
    samples = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
    samples.sample_rate = HZ
    return AudioFrame(number / 25, "pcm_s16le", samples=samples)


def deliver(path: Path, encoder: EncoderSettings, count: int) -> Delivery:
    """Every frame and its audio into a file that stays open."""
    delivery = Delivery(
        encoder, Meter(), packet_sinks=[FileWriter(path)], tell=lambda code, message: None
    )
    for number, frame in enumerate(frames(count)):
        delivery.audio(heard(number))
        delivery.deliver(frame, frame, INFO)
    return delivery


@FILES
def test_every_frame_is_there_in_its_order_and_in_step(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    path = tmp_path / f"out{suffix}"
    delivery = deliver(path, settings(codec, gop_s=0.4), 60)
    delivery.finish()
    delivery.close()
    with av.open(path) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == codec
        if suffix == ".mp4":
            assert video.codec_tag == {"h264": "avc1", "hevc": "hvc1"}[codec]
            assert video.average_rate == RATE
        images = list(container.decode(video))
    assert [number_in(image) for image in images] == list(range(60))
    assert [image.time for image in images] == pytest.approx([n / 25 for n in range(60)], abs=1e-3)
    assert any(image.pict_type == av.video.frame.PictureType.B for image in images)
    with av.open(path) as container:
        samples = list(container.decode(audio=0))
    assert samples[0].time == pytest.approx(0, abs=0.03)
    assert sum(piece.samples for piece in samples) == pytest.approx(60 / 25 * HZ, abs=2048)


CHILD = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_kept_files import deliver, settings
delivery = deliver(Path({target!r}), settings({codec!r}, gop_s=0.4), 100)
print("written", flush=True)
sys.stdin.read()
"""


@FILES
def test_a_killed_writer_leaves_a_file_that_plays(tmp_path: Path, codec: str, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    script = CHILD.format(paths=paths, target=str(target), codec=codec)
    killed_once_written(script)
    with av.open(target) as container:
        found = [number_in(image) for image in container.decode(video=0)]
    # what the encoder waits for, and MP4's last fragment or MKV's last cluster
    assert len(found) >= 40
    assert sorted(set(found)) == found
    assert found[:40] == list(range(40))


def size_of(encoder: EncoderSettings, frames: list[Frame]) -> int:
    coding = VideoEncoder(encoder, frames[0], RATE, Fraction(1))
    packets = [packet for frame in frames for packet in coding.encode(frame)]
    return sum(len(bytes(packet)) for packet in [*packets, *coding.flush()])


def test_what_is_left_out_follows_from_what_the_packets_are_for() -> None:
    live, kept = filled(EncoderSettings()), filled(EncoderSettings(), low_delay=False)
    assert (live.preset, live.crf, live.max_kbit_s, live.gop_s) == ("ultrafast", 18, 16_000, 1.0)
    assert (kept.preset, kept.crf, kept.max_kbit_s, kept.gop_s) == ("superfast", 18, None, 2.0)
    asked = EncoderSettings(codec="hevc", kbit_s=900, low_delay=True)
    assert filled(asked, low_delay=False).crf is None
    assert filled(asked, low_delay=False).low_delay
    assert filled(filled(asked)) == filled(asked)


def test_a_file_is_smaller_than_what_is_live_at_one_quality() -> None:
    moving = frames(50)
    live = size_of(filled(EncoderSettings()), moving)
    kept = size_of(filled(EncoderSettings(), low_delay=False), moving)
    assert kept < 0.8 * live


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_mean_rate_is_held(codec: str) -> None:
    noise = np.random.default_rng(1).integers(60, 200, (75, 72, 128), np.uint8)
    grey = np.full((36, 64), 128, np.uint8)
    noisy = [
        Frame((luma, grey, grey), ColourTags(1, 1, 1), 3600 * number, Fraction(1, 90_000))
        for number, luma in enumerate(noise)
    ]
    size = size_of(settings(codec, kbit_s=400), noisy)
    assert size * 8 / 3 == pytest.approx(400_000, rel=0.35)
