"""A live source's audio on its way into a file: silent where it is missing, as while it is down."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from fractions import Fraction
from typing import Any, Protocol

import av

from streamsr.media.container import Container
from streamsr.media.source import Piece
from streamsr.media.tracks.carried import codec_of
from streamsr.media.tracks.silence import AAC_SAMPLES, SteadyAudio, silent_packet
from streamsr.media.tracks.writers import EncodedAudio, TrackWriter, audio_writer

__all__ = ["SteadyWriter", "steady_writer"]


class SteadyWriter(TrackWriter, Protocol):
    """A track of audio that can be silent."""

    def be_silent(self, until_s: Fraction) -> None:
        """Writes silence where audio is missing up to then; what comes later than that is lost."""


def steady_writer(container: Container, track: av.AudioStream | None, suffix: str) -> SteadyWriter:
    """Adds a track of audio. AAC-LC is copied, other audio becomes it: only of that a packet of
    silence is known to fit what a decoder was told at first."""
    if track is None:
        return _SteadyAudio(container)
    context = track.codec_context
    layout = context.layout.name if context.channels else "stereo"
    if codec_of(track) == "aac" and context.channels and context.extradata:
        packet, described = silent_packet(context.sample_rate, layout)
        if described[:2] == context.extradata[:2]:  # ISO/IEC 14496-3, 1.6.2.1: kind, rate, layout
            inner = audio_writer(container, track, suffix)
            return _SteadyCopy(container, inner, packet, Fraction(1, context.sample_rate))
    return _SteadyAudio(container, layout=layout)


class _SteadyAudio(EncodedAudio):
    """Audio and silence as AAC."""

    def write(self, piece: Piece) -> None:
        self.be_silent(Fraction(piece.time_s))
        super().write(piece)

    def be_silent(self, until_s: Fraction) -> None:
        self.mux(self.encoder.silence(until_s))


class _SteadyCopy:
    """Packets of AAC-LC as they came, and of silence."""

    def __init__(
        self, container: Container, inner: TrackWriter, silent: bytes, time_base: Fraction
    ) -> None:
        self.stream = inner.stream
        self._container, self._inner = container, inner
        self._silent, self._time_base = silent, time_base
        self._steady = SteadyAudio(lasts_s=AAC_SAMPLES * time_base)

    def write(self, piece: Piece) -> None:
        begins_s = Fraction(piece.time_s).limit_denominator(90_000)
        if self._steady.takes(begins_s):
            self.be_silent(begins_s)
            self._inner.write(piece)
            self._steady.written(begins_s)

    def be_silent(self, until_s: Fraction) -> None:
        for begins_s in self._steady.silence(until_s):
            packet: av.Packet[Any] = av.Packet(self._silent)
            packet.time_base, packet.duration = self._time_base, AAC_SAMPLES
            self._container.copy(self.stream, packet, round(begins_s / self._time_base))

    def finish(self) -> None:
        self._inner.finish()

    @property
    def lost(self) -> str:
        told = [self._inner.lost] if self._inner.lost else []
        told += [f"{self._steady.late} packets that came too late"] if self._steady.late else []
        return ", ".join(told)
