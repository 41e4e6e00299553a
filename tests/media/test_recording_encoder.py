"""What a recording takes on a disk, whatever its camera sees."""

from fractions import Fraction

import av
import numpy as np
import pytest

from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Track
from streamsr.core.settings import EncoderSettings, RecordSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.encoder_options import (
    RECORDED_BUFFER,
    filled,
    for_recordings,
    is_for_recordings,
    usual_kbit_s,
)

RATE = 25
TICKS = Fraction(1, 90_000)
AUDIO_KBIT_S, MP4_KBIT_S = 96, 20


def record(**settings: object) -> RecordSettings:
    return RecordSettings.model_validate({"folder": "recordings", **settings})


def coded_kbit_s(settings: EncoderSettings, noise: float, seconds: int) -> float:
    """The rate of a still scene of 320x180 with so much noise, in levels."""
    random = np.random.default_rng(3)
    scene = np.kron(random.integers(60, 190, (9, 16)), np.ones((20, 20)))
    chroma = np.full((90, 160), 128, np.uint8)
    encoder: VideoEncoder | None = None
    size = 0
    for number in range(seconds * RATE):
        luma = np.clip(scene + random.normal(0, noise, scene.shape), 16, 235).astype(np.uint8)
        frame = Frame((luma, chroma, chroma), ColourTags(1, 1, 1), number * 3600, TICKS)
        encoder = encoder or VideoEncoder(
            settings, frame, Fraction(RATE), Fraction(1), RECORDED_BUFFER
        )
        packets = encoder.packets(Track.RECORD, encoder.encode(frame), None)
        size += sum(len(packet.data) for packet in packets)
    return size * 8 / seconds / 1e3


def test_a_day_of_720p_takes_10_gb_at_most() -> None:
    kbit_s = usual_kbit_s(1280, 720) + AUDIO_KBIT_S + MP4_KBIT_S
    assert kbit_s * 86_400 / 8e6 < 10
    assert usual_kbit_s(1280, 720) < usual_kbit_s(1920, 1080) < 2 * usual_kbit_s(1280, 720)
    assert usual_kbit_s(64, 48) == 100


@pytest.mark.parametrize("noise", [6.0, 40.0])
def test_the_noise_of_a_night_takes_no_more_than_is_allowed(noise: float) -> None:
    settings = for_recordings(record(kbit_s=150), 320, 180)
    assert coded_kbit_s(settings, noise, 16) <= 1.05 * 150


def test_a_quiet_scene_takes_what_its_quality_needs() -> None:
    settings = for_recordings(record(), 320, 180)
    assert coded_kbit_s(settings, 0.0, 8) < usual_kbit_s(320, 180) / 3


def test_it_is_coded_as_it_is_set() -> None:
    settings = for_recordings(record(preset="fast", crf=20, kbit_s=2000), 1280, 720)
    assert (settings.preset, settings.crf, settings.max_kbit_s) == ("fast", 20, 2000)
    assert for_recordings(record(segment_s=1.0), 1280, 720).gop_s == 1, "a file is no longer"


def test_what_viewers_get_will_do_where_it_is_the_same() -> None:
    viewers = filled(EncoderSettings())
    assert not is_for_recordings(viewers, record())
    assert not is_for_recordings(viewers, record(crf=18, preset="ultrafast"))
    assert is_for_recordings(viewers, record(crf=18, preset="ultrafast", kbit_s=16_000))


def test_it_decodes() -> None:
    settings = for_recordings(record(), 320, 180)
    luma, chroma = np.full((180, 320), 90, np.uint8), np.full((90, 160), 128, np.uint8)
    frame = Frame((luma, chroma, chroma), ColourTags(1, 1, 1), 0, TICKS)
    encoder = VideoEncoder(settings, frame, Fraction(RATE), Fraction(1), RECORDED_BUFFER)
    (coded,) = encoder.encode(frame)
    (image,) = av.CodecContext.create("h264", "r").decode(av.Packet(bytes(coded)))
    assert (image.width, image.height) == (320, 180)
