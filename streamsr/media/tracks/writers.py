"""Tracks beside the video on their way into a file: copied, encoded again, or converted.

Each takes its track's pieces in their order, loses nothing silently, and says what it lost.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Protocol

import av
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext

from streamsr.media.audio import AudioEncoder
from streamsr.media.container import Container
from streamsr.media.source import AudioFrame, Piece
from streamsr.media.tracks.carried import TrackInfo, codec_of

__all__ = ["TrackWriter", "audio_writer", "subtitle_writer"]

COPIED = {
    ".mp4": {"aac", "mp3", "alac", "opus", "flac"},
    ".mkv": {"aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "alac", "flac", "opus", "vorbis"}
    | {"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
}
"""Codecs of audio that players take in that container; other audio becomes AAC."""
HEADED = {"aac", "alac", "flac", "opus", "vorbis"}
"""Codecs whose header the container wants first. AAC in a transport stream, for one, has none."""
SUBTITLES = {
    ".mp4": {"mov_text", "dvd_subtitle"},
    ".mkv": {"subrip", "ass", "webvtt", "dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle"},
}
"""Codecs of subtitles that are copied; other text is converted, other images cannot be kept."""
TEXT = {".mp4": "mov_text", ".mkv": "subrip"}
MS = Fraction(1, 1000)
KBIT_S_PER_CHANNEL = 64
OFF_S = 0.03  # that encoded audio may be from its time


class TrackWriter(Protocol):
    """One track of an open container. Raises av.FFmpegError or OSError where it fails."""

    @property
    def stream(self) -> Stream:
        """The track in the container."""

    def write(self, piece: Piece) -> None: ...

    def finish(self) -> None:
        """Writes what is held back."""

    @property
    def lost(self) -> str:
        """What of the track is not in the file, for people; "" where it is whole."""


def audio_writer(container: Container, track: av.AudioStream, suffix: str) -> TrackWriter:
    """Adds a track of audio, copied where players take it in that container, else as AAC."""
    context, codec = track.codec_context, codec_of(track)
    if codec in COPIED[suffix] and (codec not in HEADED or context.extradata):
        return _Copied(container, container.add_copy(track), codec)
    return EncodedAudio(container, context.layout.name if context.channels else "stereo")


def subtitle_writer(container: Container, track: TrackInfo, suffix: str) -> TrackWriter | None:
    """Adds a track of subtitles; None where the container cannot hold them."""
    codec, decoder = codec_of(track.stream), track.stream.codec_context
    if codec in SUBTITLES[suffix]:
        return _Copied(container, container.add_copy(track.stream), codec)
    if isinstance(decoder, SubtitleCodecContext) and decoder.codec.text_sub:
        return _ConvertedText(container, decoder, TEXT[suffix])
    return None


class _Copied:
    """Packets as they came."""

    def __init__(self, container: Container, stream: Stream, codec: str) -> None:
        self.stream = stream
        self._container = container
        self._codec = codec
        self._last: int | None = None  # pts of the newest packet
        self._lost = 0

    def write(self, piece: Piece) -> None:
        packet = piece.packet
        foreign = isinstance(piece, AudioFrame) and piece.codec != self._codec
        if packet is None or packet.time_base is None or foreign:
            self._lost += 1  # another camera came back
            return
        pts = round(piece.time_s / packet.time_base)
        if isinstance(piece, AudioFrame) and self._last is not None and pts <= self._last:
            self._lost += 1  # a source that repeats itself
            return
        self._last = pts
        self._container.copy(self.stream, packet, pts)

    def finish(self) -> None:
        """Does nothing: nothing is held back."""

    @property
    def lost(self) -> str:
        return f"{self._lost} packets that repeat earlier ones" if self._lost else ""


class EncodedAudio:
    """Audio as AAC, with the channels it has."""

    def __init__(self, container: Container, layout: str = "stereo") -> None:
        channels = av.AudioLayout(layout).nb_channels
        self._encoder = AudioEncoder("aac", layout, KBIT_S_PER_CHANNEL * channels, OFF_S)
        self.stream = container.add_audio(layout=self._encoder.layout)
        self._container = container
        self._last: int | None = None  # pts of the newest packet
        self._damaged = 0

    def write(self, piece: Piece) -> None:
        assert isinstance(piece, AudioFrame)
        self._mux(self._encoder.encode(piece))
        self._damaged += piece.damaged

    def finish(self) -> None:
        self._mux(self._encoder.flush())

    @property
    def lost(self) -> str:
        told = [f"{self._damaged} damaged packets"] if self._damaged else []
        if self._encoder.late_s >= 0.001:
            told.append(f"{self._encoder.late_s:.3g} s that repeat earlier times")
        return ", ".join(told)

    def _mux(self, packets: Iterable[av.Packet[Any]]) -> None:
        for packet in packets:
            if packet.pts is None or (self._last is not None and packet.pts <= self._last):
                continue  # an encoder's priming, after another's end
            self._last = packet.pts
            self._container.copy(self.stream, packet, packet.pts)


class _ConvertedText:
    """Subtitles of another format of text."""

    def __init__(self, container: Container, decoder: SubtitleCodecContext, codec: str) -> None:
        decoder.open(strict=False)
        self._decoder = decoder
        self._container = container
        self.stream, self._encoder = container.add_text(codec, decoder.subtitle_header or b"")
        self._lost = 0

    def write(self, piece: Piece) -> None:
        packet = piece.packet
        if packet is None or not packet.size:
            return
        try:
            decoded = self._decoder.decode2(packet)
            if decoded is None or not len(decoded):
                return  # the end of the one before, as MP4 writes it
            text = self._encoder.encode_subtitle(decoded)
        except av.FFmpegError:
            self._lost += 1
            return
        seconds = (packet.duration or 0) * (packet.time_base or MS)
        text.time_base, text.duration = MS, round(seconds / MS)
        self._container.copy(self.stream, text, round(piece.time_s / MS))

    def finish(self) -> None:
        """Does nothing: nothing is held back."""

    @property
    def lost(self) -> str:
        return f"{self._lost} damaged texts" if self._lost else ""
