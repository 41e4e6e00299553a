"""Audio on its way out: decoded, resampled and encoded again, at the time of the source."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from streamsr.media.source import AudioFrame

__all__ = ["AudioEncoder"]

GAP_S = 0.1  # between pieces of audio: beyond it the next is placed by its own time


class AudioEncoder:
    """Encodes one stream's audio. Packets carry pts in samples since the stream's start."""

    def __init__(self, codec: str, bit_rate: int = 96_000) -> None:
        context = av.CodecContext.create(codec, "w")
        assert isinstance(context, av.AudioCodecContext)
        self.context = context
        context.sample_rate = 48_000
        context.layout = "stereo"
        formats = context.codec.audio_formats
        context.format = formats[0] if formats else "fltp"
        context.bit_rate = bit_rate
        context.time_base = Fraction(1, 48_000)
        context.flags |= av.codec.context.Flags.global_header
        context.open()
        self._next: int | None = None  # pts of the next sample; None: to be set by a time
        self._earliest = 0  # no sample may go before it: a track's time never falls
        self._format: tuple[int, str, str] | None = None  # of what was decoded last
        self._restart()

    @property
    def time_base(self) -> Fraction:
        """The unit of the packets' pts, in seconds."""
        return self.context.time_base

    def encode(self, audio: AudioFrame) -> Iterator[av.Packet[Any]]:
        """Encodes a piece of audio; damaged pieces are left out."""
        place = round(audio.time_s * 48_000)
        for samples in audio.decoded():
            if self._next is not None and abs(place - self._next) > GAP_S * 48_000:
                self._restart()
            self._follow_format(samples)
            for piece in self._resampler.resample(samples):
                yield from self._push(piece, place)
            place += round(samples.samples * 48_000 / samples.sample_rate)

    def flush(self) -> Iterator[av.Packet[Any]]:
        """Yields what is left, at the end of the stream."""
        rest = self._fifo.read(0, partial=True)
        if rest is not None and self._next is not None:
            yield from self._encoded(rest)
        yield from self.context.encode(None)

    def _push(self, piece: av.AudioFrame, place: int) -> Iterator[av.Packet[Any]]:
        if self._next is None:
            if place < self._earliest:
                return  # audio of a time that has gone out already
            self._next = place
        piece.pts = None
        self._fifo.write(piece)
        while (frame := self._fifo.read(self.context.frame_size)) is not None:
            yield from self._encoded(frame)

    def _encoded(self, frame: av.AudioFrame) -> Iterator[av.Packet[Any]]:
        assert self._next is not None
        frame.pts = self._next
        frame.time_base = self.context.time_base
        self._next += frame.samples
        yield from self.context.encode(frame)

    def _follow_format(self, samples: av.AudioFrame) -> None:
        now = (samples.sample_rate, samples.layout.name, samples.format.name)
        if self._format not in (None, now):
            self._restart()
        self._format = now

    def _restart(self) -> None:
        """Drops samples that do not reach to what comes next."""
        self._earliest = max(self._earliest, self._next or 0)
        self._resampler = av.AudioResampler(self.context.format, self.context.layout, 48_000)
        self._fifo = av.AudioFifo()
        self._next = None
