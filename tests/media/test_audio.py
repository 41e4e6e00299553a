"""AudioFrame encoded anew: as clean for each of many as for one alone, wherever it comes from."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr.media.audio import AudioEncoder
from streamsr.media.demo import DemoSource
from streamsr.media.files import FileSource
from streamsr.media.source import AudioFrame, Source

RATE = 48_000
TONE_HZ = 440  # of the clips
CODECS = ["libopus", "aac"]


def sounds_of(source: Source, count: int) -> list[AudioFrame]:
    items = source.items(threading.Event())
    audios = (item for item in items if isinstance(item, AudioFrame))
    return [audio for audio, _ in zip(audios, range(count), strict=False)]


@pytest.fixture
def sources(clip: Callable[..., Path]) -> dict[str, Source]:
    """AudioFrame as packets of AAC, and as samples."""
    return {"packets": FileSource(str(clip()), lambda event: None), "samples": DemoSource()}


def encoded(audios: Iterable[AudioFrame], encoders: list[AudioEncoder]) -> list[list[bytes]]:
    """What each encoder makes of the audios, all given to all in turn."""
    made: list[list[bytes]] = [[] for _ in encoders]
    for audio in audios:
        for packets, encoder in zip(made, encoders, strict=True):
            packets += [bytes(packet) for packet in encoder.encode(audio)]
    return made


def distortion_db(packets: list[bytes], encoder: AudioEncoder) -> float:
    """All that is not the tone, against the tone (THD+N)."""
    decoder = av.CodecContext.create(encoder.context.codec.name.removeprefix("lib"), "r")
    decoder.extradata = encoder.context.extradata
    frames = [frame for data in packets for frame in decoder.decode(av.Packet(data))]
    wave = np.concatenate([frame.to_ndarray().astype(float)[0] for frame in frames])
    wave = wave[RATE // 4 :][: 2 * RATE]
    angle = 2 * np.pi * TONE_HZ * np.arange(len(wave)) / RATE
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    tone = basis @ np.linalg.lstsq(basis, wave, rcond=None)[0]
    return float(10 * np.log10(np.mean((wave - tone) ** 2) / np.mean(tone**2)))


@pytest.mark.parametrize("order", [CODECS, CODECS[::-1]], ids=" before ".join)
def test_a_tone_stays_a_tone_for_browsers_and_for_publishers(
    sources: dict[str, Source], order: list[str]
) -> None:
    encoders = [AudioEncoder(codec) for codec in order]
    made = encoded(sounds_of(sources["packets"], 180), encoders)
    for packets, encoder in zip(made, encoders, strict=True):
        assert distortion_db(packets, encoder) < -26, encoder.context.codec.name  # the clip: -28.8


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", ["packets", "samples"])
def test_an_encoder_does_not_notice_another(
    sources: dict[str, Source], kind: str, codec: str
) -> None:
    alone = encoded(sounds_of(sources[kind], 60), [AudioEncoder(codec)])[0]
    three = [AudioEncoder(name) for name in (codec, *CODECS)]
    beside = encoded(sounds_of(sources[kind], 60), three)[0]
    assert len(alone) > 40
    assert beside == alone


def test_a_packet_is_decoded_once(sources: dict[str, Source]) -> None:
    for audio in sounds_of(sources["packets"], 5):
        assert audio.decoded() is audio.decoded()
        assert sum(frame.samples for frame in audio.decoded()) in (0, 1024)


def test_a_damaged_packet_gives_nothing_however_often(sources: dict[str, Source]) -> None:
    first, second, third = sounds_of(sources["packets"], 3)
    assert second.packet is not None
    noise = av.Packet(b"\xff" * 40)
    noise.stream = second.packet.stream
    damaged = AudioFrame(second.time_s, "aac", noise)
    assert len(first.decoded()) + len(third.decoded()) > 0
    assert damaged.decoded() == damaged.decoded() == ()
    assert encoded([damaged], [AudioEncoder("aac")]) == [[]]
