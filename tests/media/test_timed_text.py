"""Subtitles in MP4, wherever they lie: the muxer's assertion on falling times is never met."""

import random
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamsr.media.container import Container
from streamsr.media.source import Subtitle
from streamsr.media.tracks.formats import CONTAINERS
from streamsr.media.tracks.texts import TimedText

MS = Fraction(1, 1000)


def written(path: Path, texts: list[tuple[int, int]], audio_s: float, rate: int) -> str:
    """An MP4 file of audio, and of texts from and to these ms; what was lost of them."""
    container = Container(str(path), CONTAINERS[".mp4"])
    audio = container.add_audio()
    stream, _ = container.add_text("mov_text", b"[Script Info]\nScriptType: v4.00+\n")
    writer = TimedText(container, stream)
    container.begin()
    for number, (begin, end) in enumerate(texts):
        packet = av.Packet(b"\0\2" + b"%02d" % (number % 100))
        packet.duration, packet.time_base = end - begin, MS
        writer.write(Subtitle(begin / 1000, 1, packet))
    for number in range(int(audio_s * rate / 1024)):
        packet = av.Packet(b"\x21\x10\x04\x60\x8c\x1c")
        packet.time_base, packet.duration = Fraction(1, rate), 1024
        container.copy(audio, packet, number * 1024)
    writer.finish()
    container.close()
    return writer.lost


def shown(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        packets = [p for p in container.demux(stream) if p.size > 2]
        return [tuple(round(t * p.time_base / MS) for t in (p.pts, p.duration)) for p in packets]


@pytest.mark.parametrize("audio_s", [0.0, 0.5, 8.0])
def test_texts_are_shown_as_long_as_they_were(tmp_path: Path, audio_s: float) -> None:
    path = tmp_path / "out.mp4"
    assert written(path, [(5000, 5600), (200, 800), (1000, 1600)], audio_s, 48_000) == ""
    assert shown(path) == [(200, 600), (1000, 600), (5000, 600)]


def test_a_text_that_another_overlaps_is_cut_and_said(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    assert written(path, [(200, 800), (500, 1600)], 2.0, 48_000) == (
        "1 texts cut short where the next begins"
    )
    assert shown(path) == [(200, 300), (500, 1100)]


def test_no_texts_end_the_process(tmp_path: Path) -> None:
    dice = random.Random(5)
    for _ in range(60):
        begins = [dice.randrange(10_000) for _ in range(dice.randrange(12))]
        texts = [(begin, begin + dice.randrange(4000)) for begin in begins]
        written(
            tmp_path / "out.mp4", texts, dice.random() * 12, dice.choice([8000, 44_100, 48_000])
        )
