"""Small films: frames and audio at any times, and all that a file can carry beside them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from peers.clip import scene

__all__ = ["HZ", "Span", "film", "full_film"]

HZ = 48_000
MS = Fraction(1, 1000)
RATE = 25
PACKED = {"max_delay": "700000"}  # µs, as of FFmpeg's program: frames of audio share a PES packet
Span = tuple[float, float]  # seconds from and to which there is a tone

AUDIO = (("aac", "mono", "eng", 0), ("ac3", "5.1", "deu", 1), ("mp2", "stereo", "fra", 0))
TEXTS = ((0.2, 0.8, "one"), (1.0, 1.6, "zwei\nZeilen"))


def film(
    path: Path, frames: Iterable[tuple[float, float]], audio: Sequence[Span], codec: str = "aac"
) -> Path:
    """A film of frames (when, how long) and a tone in spans of audio, which pause between them."""
    times = list(frames)
    with av.open(str(path), "w", options=PACKED) as out:
        video = out.add_stream("libx264", rate=RATE, options={"tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = MS
        heard = out.add_stream(codec, rate=HZ, layout="mono")
        packets: list[tuple[float, av.Packet]] = []
        for (begin, lasts), planes in zip(times, scene(64, 48, len(times)), strict=True):
            image = av.VideoFrame.from_ndarray(_stacked(planes), "yuv420p")
            image.pts, image.time_base = round(begin / MS), MS
            for packet in video.encode(image):
                packet.duration = round(lasts / MS)
                packets.append((begin, packet))
        packets += _tones(heard, audio)
        for _, packet in sorted(packets, key=lambda timed: timed[0]):
            out.mux(packet)
    return path


def full_film(path: Path, seconds: float = 2.0) -> Path:
    """A .mkv film with three audio tracks, two of subtitles, chapters, tags, a font and a cover.

    The audio is AAC in mono, 5.1 in AC-3, which is the default, and MP2 in stereo.
    """
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "Yard"
        out.metadata["creation_time"] = "2021-02-03T04:05:06.000000Z"
        video = out.add_stream("libx264", rate=RATE, options={"tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.disposition = av.stream.Disposition.default
        tracks = [_audio(out, *named) for named in AUDIO]
        tracks[1].metadata["title"] = "Surround"
        texts = [out.add_mux_stream("subrip"), out.add_mux_stream("subrip")]
        for text, language in zip(texts, ("deu", "fra"), strict=True):
            text.metadata["language"], text.time_base = language, MS
        out.add_attachment("font.ttf", "application/x-truetype-font", b"font")
        out.add_attachment("cover.png", "image/png", _png())
        out.set_chapters([_chapter(0, 0, 1000, "One"), _chapter(1, 1000, 2000, "Two")])
        for number, planes in enumerate(scene(64, 48, round(seconds * RATE))):
            image = av.VideoFrame.from_ndarray(_stacked(planes), "yuv420p")
            image.pts, image.time_base = number, Fraction(1, RATE)
            out.mux(video.encode(image))
            for track in tracks:
                wave = _wave(number * HZ // RATE, HZ // RATE)
                out.mux(track.encode(_samples(wave, track.layout.name, number * HZ // RATE)))
        for stream in (video, *tracks):
            out.mux(stream.encode(None))
        for text in texts:
            for begin, end, words in TEXTS:
                packet = av.Packet(words.encode())
                packet.pts = packet.dts = round(begin / MS)
                packet.duration, packet.time_base = round((end - begin) / MS), MS
                packet.stream = text
                out.mux(packet)
    return path


def _audio(
    out: OutputContainer, codec: str, layout: str, language: str, default: int
) -> av.AudioStream:
    stream = out.add_stream(codec, rate=HZ, layout=layout)
    assert isinstance(stream, av.AudioStream)
    stream.metadata["language"] = language
    stream.disposition = av.stream.Disposition(default)
    return stream


def _tones(heard: av.AudioStream, spans: Sequence[Span]) -> list[tuple[float, av.Packet]]:
    made = []
    for begin, end in spans:
        size = heard.codec_context.frame_size or 1024
        for at in range(round(begin * HZ), round(end * HZ), size):
            wave = _wave(at, min(size, round(end * HZ) - at))
            frame = _samples(wave, "mono", at)
            made += [(packet.pts / HZ, packet) for packet in heard.encode(frame)]
    return made + [(packet.pts / HZ, packet) for packet in heard.encode(None)]


def _wave(begin: int, count: int) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 1000 / HZ * np.arange(begin, begin + count))


def _samples(wave: np.ndarray, layout: str, pts: int) -> av.AudioFrame:
    channels = av.AudioLayout(layout).nb_channels
    packed = np.repeat((wave * 32_767).astype(np.int16), channels)[None]
    frame = av.AudioFrame.from_ndarray(packed, "s16", layout)
    frame.sample_rate, frame.pts, frame.time_base = HZ, pts, Fraction(1, HZ)
    return frame


def _stacked(planes: Sequence[np.ndarray]) -> np.ndarray:
    luma, *chroma = planes
    rows = [np.ascontiguousarray(plane).reshape(-1, luma.shape[1]) for plane in chroma]
    return np.vstack([luma, *rows])


def _chapter(number: int, start: int, end: int, title: str) -> dict[str, object]:
    return {"id": number, "start": start, "end": end, "time_base": MS, "metadata": {"title": title}}


def _png() -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 32, 32, "rgb24"
    encoder.time_base = Fraction(1)
    image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), "rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(image), *encoder.encode(None)])
