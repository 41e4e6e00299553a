"""Audio encoded again: as clean for each of many as for one alone, wherever it comes from."""

import threading
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr.media.audio import AudioEncoder
from streamsr.media.source import AudioFrame
from streamsr.sources.demo import AUDIO_RATE, Scene
from streamsr.sources.files import FileSource

RATE = 48_000
TONE_HZ = 440  # of the clips
CODECS = ["libopus", "aac"]


Pieces = Callable[[int], list[AudioFrame]]


@pytest.fixture
def packets(clip: Callable[..., Path]) -> Pieces:
    """Audio as packets of AAC, each time of another decoder."""

    def read(count: int) -> list[AudioFrame]:
        items = FileSource(str(clip()), lambda event: None).items(threading.Event())
        return list(islice((item for item in items if isinstance(item, AudioFrame)), count))

    return read


def samples(count: int) -> list[AudioFrame]:
    """Audio without a codec, as the built-in camera delivers it."""
    scene, pieces = Scene(), []
    for number in range(count):
        piece = av.AudioFrame.from_ndarray(scene.audio(number)[None], "s16", "mono")
        piece.sample_rate = AUDIO_RATE
        pieces.append(AudioFrame(number / scene.rate, "pcm_s16le", samples=piece))
    return pieces


def encoded(audios: Iterable[AudioFrame], encoders: list[AudioEncoder]) -> list[list[bytes]]:
    """What each encoder makes of the audios, all given to all in turn."""
    made: list[list[bytes]] = [[] for _ in encoders]
    for audio in audios:
        for target, encoder in zip(made, encoders, strict=True):
            target += [bytes(packet) for packet in encoder.encode(audio)]
    return made


def distortion_db(made: list[bytes], encoder: AudioEncoder) -> float:
    """All that is not the tone, against the tone (THD+N)."""
    decoder = av.CodecContext.create(encoder.context.codec.name.removeprefix("lib"), "r")
    decoder.extradata = encoder.context.extradata
    frames = [frame for data in made for frame in decoder.decode(av.Packet(data))]
    wave = np.concatenate([frame.to_ndarray().astype(float)[0] for frame in frames])
    wave = wave[RATE // 4 :][: 2 * RATE]
    angle = 2 * np.pi * TONE_HZ * np.arange(len(wave)) / RATE
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    tone = basis @ np.linalg.lstsq(basis, wave, rcond=None)[0]
    return float(10 * np.log10(np.mean((wave - tone) ** 2) / np.mean(tone**2)))


@pytest.mark.parametrize("order", [CODECS, CODECS[::-1]], ids=" before ".join)
def test_a_tone_stays_a_tone_for_browsers_and_for_publishers(
    packets: Pieces, order: list[str]
) -> None:
    encoders = [AudioEncoder(codec) for codec in order]
    made = encoded(packets(180), encoders)
    for each, encoder in zip(made, encoders, strict=True):
        assert distortion_db(each, encoder) < -26, encoder.context.codec.name  # the clip: -28.8


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", ["packets", "samples"])
def test_an_encoder_does_not_notice_another(packets: Pieces, kind: str, codec: str) -> None:
    pieces = packets if kind == "packets" else samples
    alone = encoded(pieces(60), [AudioEncoder(codec)])[0]
    three = [AudioEncoder(name) for name in (codec, *CODECS)]
    beside = encoded(pieces(60), three)[0]
    assert len(alone) > 40
    assert beside == alone


def test_a_packet_is_decoded_once(packets: Pieces) -> None:
    for audio in packets(5):
        assert [*map(id, audio.decoded)] == [*map(id, audio.decoded)]
        assert sum(frame.samples for frame in audio.decoded) in (0, 1024)


def test_a_damaged_packet_gives_nothing_however_often(packets: Pieces) -> None:
    first, second, third = packets(3)
    assert second.packet is not None
    noise = av.Packet(b"\xff" * 40)
    noise.stream = second.packet.stream
    damaged = AudioFrame(second.time_s, "aac", noise)
    assert len(first.decoded) + len(third.decoded) > 0
    assert damaged.decoded == damaged.decoded == []
    assert damaged.damaged
    assert not first.damaged
    assert encoded([damaged], [AudioEncoder("aac")]) == [[]]


def pulses(rate: int, layout: str, form: str, off_s: float) -> list[AudioFrame]:
    """Four seconds of pulses, one each 100 ms; from the second second on they come later."""
    pieces, length = [], rate // 50
    for number in range(200):
        shape = (1, 2 * length) if form == "s16" else (2, length)
        wave = np.zeros(shape, np.int16 if form == "s16" else np.float32)
        if number % 5 == 0:
            wave[:, 10:200] = 20_000 if form == "s16" else 0.6
        piece = av.AudioFrame.from_ndarray(wave, form, layout)
        piece.sample_rate = rate
        time_s = number / 50 + (off_s if number >= 50 else 0)
        pieces.append(AudioFrame(time_s, "pcm", samples=piece))
    return pieces


@pytest.mark.parametrize("off_ms", [-300, -25, -12, 4, 12, 25, 90, 300])
@pytest.mark.parametrize("form", ["s16", "fltp"])
def test_audio_that_is_off_for_long_is_put_right(off_ms: int, form: str) -> None:
    """However little, as after a jump of a live source: pieces of jitter go one after another."""
    encoder = AudioEncoder("aac")
    coded = []
    for piece in pulses(44_100, "stereo", form, off_ms / 1000):
        coded += [(bytes(p), p.pts) for p in encoder.encode(piece)]
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoder.context.extradata
    begins = []
    for data, pts in coded:
        for frame in decoder.decode(av.Packet(data)):
            loud = np.abs(frame.to_ndarray()[0]) > 0.2
            begins += [(pts + int(np.argmax(loud))) / RATE] if loud.any() else []
    late = [begin % 0.1 for begin in begins if begin > 2.5 + max(off_ms, 0) / 1000]
    starts = [at for at in late if abs((at - off_ms / 1000 + 0.05) % 0.1 - 0.05) < 0.009]
    assert len(starts) >= 10
    assert encoder.late_s == pytest.approx(
        max(0, -off_ms) / 1000, abs=0.009 if off_ms in (4, -12) else 0.003
    )
