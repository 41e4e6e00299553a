"""A live source's audio in a file: as long as the video, silent where there was none."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from peers import scene

from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.muxing import FileWriter
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.media.tracks.carried import codec_of, lasting

RATE = Fraction(25)
SECONDS = 12
HEARD = ((1.0, 3.0), (6.5, 9.0))  # seconds: it begins late, is away for 3.5, and does not return
AUDIO = {  # codec, rate, channels, and the container it comes in
    "aac": ("aac", 48_000, "stereo", "mp4"),
    "aac mono": ("aac", 16_000, "mono", "mp4"),
    "G.711": ("pcm_alaw", 8_000, "mono", "wav"),
    "opus": ("libopus", 48_000, "stereo", "mkv"),
}


def tone(path: Path, codec: str, rate: int, layout: str) -> Path:
    """Audio of the whole time."""
    with av.open(path, "w") as out:
        audio = out.add_stream(codec, rate=rate, layout=layout)
        step = rate // 50
        for at in range(0, SECONDS * rate, step):
            wave = 9000 * np.sin(2 * np.pi * 440 * np.arange(at, at + step) / rate)
            channels = 1 if layout == "mono" else 2
            piece = np.repeat(wave.astype(np.int16), channels)[None]
            samples = av.AudioFrame.from_ndarray(piece, "s16", layout)
            samples.sample_rate, samples.pts, samples.time_base = rate, at, Fraction(1, rate)
            out.mux(audio.encode(samples))
        out.mux(audio.encode(None))
    return path


def recorded(source: Path, target: Path) -> FileWriter:
    """Writes 12 s of video, and the audio when it is heard, as delivery sends them."""
    with av.open(source) as container:
        track = container.streams.audio[0]
        info = SourceInfo(64, 48, RATE, Fraction(1), "h264", "yuv420p", audio_codec=codec_of(track))
        info = replace(info, audio=lasting(track))
        pieces = [
            AudioFrame(float(packet.pts * packet.time_base), codec_of(track), packet)
            for packet in container.demux(track)
            if packet.size and packet.pts is not None
        ]
        writer, encoder = FileWriter(target, steady=True), None
        for number, planes in enumerate(scene(64, 48, SECONDS * 25)):
            frame = Frame(planes, ColourTags(1, 1, 1), 3600 * number, Fraction(1, 90_000))
            if encoder is None:
                encoder = VideoEncoder(EncoderSettings(), frame, RATE, Fraction(1))
            for packet in encoder.packets(Track.OUTPUT, encoder.encode(frame), None):
                writer.video(packet, info, (64, 48))
            while pieces and pieces[0].time_s <= frame.time_s:
                piece = pieces.pop(0)
                if any(begin <= piece.time_s < end for begin, end in HEARD):
                    writer.audio(piece)
        writer.close()
        assert isinstance(packet, Packet)
    return writer


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("kind", AUDIO)
def test_audio_that_is_missing_is_silent(tmp_path: Path, suffix: str, kind: str) -> None:
    codec, rate, layout, container = AUDIO[kind]
    source = tone(tmp_path / f"in.{container}", codec, rate, layout)
    target = tmp_path / f"out{suffix}"
    writer = recorded(source, target)
    assert writer.not_kept == []
    with av.open(target) as made:
        track = made.streams.audio[0]
        copied = track.rate == rate and layout == track.layout.name
        assert copied or codec != "aac"
        frames = list(made.decode(track))
    loud = np.concatenate([np.abs(f.to_ndarray()).max(axis=0) for f in frames])
    assert len(loud) / track.rate == pytest.approx(SECONDS, abs=0.1), "as long as the video"
    ends_s = [f.time + f.samples / f.rate for f in frames]
    holes = [b.time - end for b, end in zip(frames[1:], ends_s, strict=False)]
    assert max(holes) < 0.03
    heard = np.flatnonzero(loud > 0.1) / track.rate
    breaks = np.flatnonzero(np.diff(heard) > 1)
    assert len(breaks) == len(HEARD) - 1
    begins = [heard[0], heard[breaks[0] + 1]]
    ends = [heard[breaks[0]], heard[-1]]
    assert list(zip(begins, ends, strict=True)) == [pytest.approx(s, abs=0.1) for s in HEARD]
