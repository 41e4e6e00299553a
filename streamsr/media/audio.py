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

    def encode(self, audio: AudioFrame) -> Iterator[av.Packet[Any]]:
        """Encodes a piece of audio; damaged pieces are left out."""
        place = round(audio.time_s * 48_000)
        for samples in audio.decoded:
            self._follow(samples, place)
            if self._next is not None:  # else its time has gone out already
                yield from self._encoded(samples)
            place += round(samples.samples * 48_000 / samples.sample_rate)

    def flush(self) -> Iterator[av.Packet[Any]]:
        """Yields what is left, at the end of the stream."""
        if self._next is not None:
            yield from self._encoded(None)
        yield from self.context.encode(None)

    def _encoded(self, samples: av.AudioFrame | None) -> Iterator[av.Packet[Any]]:
        """Encodes what ``samples`` complete, whole frames; None: the rest as well."""
        for frame in self._resampler.resample(samples):
            assert self._next is not None
            frame.pts, frame.time_base = self._next, self.context.time_base
            self._next += frame.samples
            yield from self.context.encode(frame)

    def _follow(self, samples: av.AudioFrame, place: int) -> None:
        """Starts at ``place``: after a gap, and where the format is another, from scratch."""
        now = (samples.sample_rate, samples.layout.name, samples.format.name)
        gap = self._next is not None and abs(place - self._next) > GAP_S * 48_000
        if gap or self._format not in (None, now):
            self._restart()
        self._format = now
        if self._next is None and place >= self._earliest:
            self._next = place

    def _restart(self) -> None:
        """Drops samples that do not reach to what comes next."""
        self._earliest = max(self._earliest, self._next or 0)
        context = self.context
        self._resampler = av.AudioResampler(
            context.format, context.layout, 48_000, context.frame_size
        )
        self._next = None
