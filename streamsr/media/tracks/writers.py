"""Tracks beside the video on their way into a file: copied, encoded again, or converted.

Each takes its track's pieces in their order, loses nothing silently, and says what it lost.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import math
import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Protocol

import av
from av.packet import PacketSideData
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext

from streamsr.media.audio import AudioEncoder
from streamsr.media.container import Container
from streamsr.media.source import AudioFrame, Piece
from streamsr.media.tracks.carried import TrackInfo, codec_of
from streamsr.media.tracks.formats import FORMATS
from streamsr.media.tracks.texts import ConvertedText, TimedText

__all__ = ["TrackWriter", "audio_writer", "subtitle_writer"]

HEADED = {"aac", "alac", "flac", "opus", "vorbis"}
"""Codecs whose header the container wants first. AAC in a transport stream, for one, has none; of
others it wants the rate, which is not known before audio that begins late."""
LAYERS = {1: "mp3", 2: "mp2"}  # ISO/IEC 11172-3, 2.4.2.3
MPEG_AUDIO = ("mp2", "mp3")
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
    """Adds a track of audio, copied where players take it in that container, else encoded."""
    form = FORMATS[suffix]
    context, codec = track.codec_context, codec_of(track)
    described = context.extradata if codec in HEADED else context.sample_rate and context.channels
    if codec in form.audio and described:
        return _Copied(container, track, equal=form.name in ("matroska", "webm"))
    return EncodedAudio(
        container, form.encoded, context.layout.name if context.channels else "stereo"
    )


def subtitle_writer(container: Container, track: TrackInfo, suffix: str) -> TrackWriter | None:
    """Adds a track of subtitles; None where the container cannot hold them."""
    codec, decoder, form = codec_of(track.stream), track.stream.codec_context, FORMATS[suffix]
    if codec == form.text and form.is_iso:
        return TimedText(container, container.add_copy(track.stream))
    if codec in form.subtitles:
        return _Copied(container, track.stream)
    if form.text and isinstance(decoder, SubtitleCodecContext) and decoder.codec.text_sub:
        return ConvertedText(container, decoder, form.text, timed=form.is_iso)
    return None


class _Copied:
    """Packets as they came."""

    def __init__(self, container: Container, track: Stream, *, equal: bool = False) -> None:
        """``equal``: packets may begin in one tick of the container, as TrueHD's in Matroska."""
        self.stream = container.add_copy(track)
        self._container = container
        self._equal = equal
        audio = track.codec_context if isinstance(track, av.AudioStream) else None
        self._rate = audio.sample_rate if audio is not None else 0
        self._delayed = audio is not None and audio.delay > 0  # the header says by how much
        self._priming: PacketSideData | None = None
        self._format = _format_of(track)
        self._template: Stream | None = track  # of the newest packet; None: of another format
        self._newest: tuple[int, bytes] | None = None  # where, in the track's ticks, and what
        self._repeated = 0
        self._foreign = 0

    def write(self, piece: Piece) -> None:
        packet = piece.packet
        if packet is None or packet.time_base is None or not self._is_alike(piece, packet):
            self._foreign += 1  # another camera came back
            return
        pts = round(piece.time_s / packet.time_base)
        if isinstance(piece, AudioFrame) and self._is_repeated(packet, pts * packet.time_base):
            self._repeated += 1
            return
        if pts < 0 and self._equal and not self._delayed:
            packet, pts = self._at_start(packet, pts), 0
        self._container.copy(self.stream, packet, pts)

    def _at_start(self, packet: av.Packet[Any], pts: int) -> av.Packet[Any]:
        """A codec's priming, before 0, for Matroska, whose time begins there: it is decoded and not
        heard. FFmpeg would move all else to make room."""
        if packet.has_sidedata("skip_samples"):
            self._priming = packet.get_sidedata("skip_samples")
        lasts = packet.duration or 0
        if self._priming is None or pts + lasts > 0 or packet.time_base is None:
            return packet
        primed: av.Packet[Any] = av.Packet(bytes(packet))
        primed.time_base, primed.duration = packet.time_base, packet.duration
        samples = math.ceil(lasts * packet.time_base * self._rate)
        self._priming.update(struct.pack("<IIBB", 0, samples, 0, 0))  # all, from its end
        primed.set_sidedata(self._priming)
        return primed

    def _is_alike(self, piece: Piece, packet: av.Packet[Any]) -> bool:
        """Whether the track's header describes the packet."""
        if not isinstance(piece, AudioFrame):
            return True
        if packet.stream is not self._template:
            alike = _format_of(packet.stream, piece) == self._format
            self._template = packet.stream if alike else None
        return self._template is not None

    def _is_repeated(self, packet: av.Packet[Any], begins_s: Fraction) -> bool:
        """Whether a source repeats itself."""
        assert self.stream.time_base is not None  # the header is written
        newest, data = math.floor(begins_s / self.stream.time_base + Fraction(1, 2)), bytes(packet)
        before, self._newest = self._newest, (newest, data)
        if before is None or newest > before[0]:
            return False
        if self._equal and newest == before[0] and data != before[1]:
            return False
        self._newest = before
        return True

    def finish(self) -> None:
        """Does nothing: nothing is held back."""

    @property
    def lost(self) -> str:
        told = [f"{self._repeated} packets that repeat earlier ones"] if self._repeated else []
        if self._foreign:
            told.append(f"{self._foreign} packets of another format than the first")
        return ", ".join(told)


def _format_of(track: Stream, piece: AudioFrame | None = None) -> tuple[object, ...]:
    """What a copied track's packets must have in common: a header says it all, where there is one.

    A decoder that has begun may know of another rate (HE-AAC). Of a track that begins late FFmpeg
    knows neither the rate nor the layer of MPEG audio: ``piece``, one of its own, tells.
    """
    codec, context = codec_of(track), track.codec_context
    if not isinstance(context, av.AudioCodecContext) or codec in HEADED:
        return codec, context.extradata if context is not None else None
    if piece is not None and piece.packet is not None:
        if not context.sample_rate:
            _ = piece.decoded  # with which it is known
        header = bytes(piece.packet)[1:2]
        codec = LAYERS.get(header[0] >> 1 & 3, codec) if codec in MPEG_AUDIO and header else codec
    return codec, context.sample_rate, context.layout.name


class EncodedAudio:
    """Audio as AAC, or as another encoder makes it, with the channels it has."""

    def __init__(self, container: Container, codec: str = "aac", layout: str = "stereo") -> None:
        channels = av.AudioLayout(layout).nb_channels
        self.encoder = AudioEncoder(codec, layout, KBIT_S_PER_CHANNEL * channels, OFF_S)
        self.stream = container.add_audio(self.encoder.layout, codec)
        self._container = container
        self._last: int | None = None  # pts of the newest packet
        self._damaged = 0
        self._newest: AudioFrame | None = None

    def write(self, piece: Piece) -> None:
        assert isinstance(piece, AudioFrame)
        self.mux(self.encoder.encode(piece))
        self._damaged += piece.damaged
        self._newest = piece

    def finish(self) -> None:
        if self._newest is not None:
            for held in self._newest.held_back():
                self.mux(self.encoder.encode(held))
        self.mux(self.encoder.flush())

    @property
    def lost(self) -> str:
        told = [f"{self._damaged} damaged packets"] if self._damaged else []
        if self.encoder.late_s >= 0.001:
            told.append(f"{self.encoder.late_s:.3g} s that repeat earlier times")
        return ", ".join(told)

    def mux(self, packets: Iterable[av.Packet[Any]]) -> None:
        """Writes packets of its encoder."""
        for packet in packets:
            if packet.pts is None or (self._last is not None and packet.pts <= self._last):
                continue  # an encoder's priming, after another's end
            self._last = packet.pts
            self._container.copy(self.stream, packet, packet.pts)
