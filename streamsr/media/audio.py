"""Audio on its way out: decoded, resampled and encoded again, at the time of the source."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from streamsr.media.source import AudioFrame

__all__ = ["AudioEncoder"]

RATE = 48_000  # Hz, of all that is encoded
SILENCE_S = 0.5  # a gap up to so long is filled with silence; after a longer one time goes on
STEADY_S, AGREED = 0.008, 16  # off by so much, as so many pieces agree: no jitter
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""What AAC has a number for (ISO/IEC 14496-3, table 1.19), by channels; else stereo."""


class AudioEncoder:
    """Encodes one stream's audio. Packets carry pts in samples since the stream's start.

    A piece goes by its own time where that is more than ``off_s`` from the end of the last one, or
    those before it were off the same way: silence comes before it, and what is too late is left out
    and counted.
    """

    def __init__(
        self, codec: str, layout: str = "stereo", kbit_s: int = 96, off_s: float = 0.1
    ) -> None:
        """``layout`` is as near to the one that is named as AAC has it."""
        self.layout = LAYOUTS.get(av.AudioLayout(layout).nb_channels, "stereo")
        self.late_s = 0.0  # audio that was left out: what came before it had its time
        self._codec, self._kbit_s, self._off = codec, kbit_s, round(off_s * RATE)
        self._format: tuple[int, str, str] | None = None  # of what was decoded last
        self._due: float | None = None  # where the next piece begins, in samples; None: at its time
        self._apart: deque[float] = deque(maxlen=AGREED)  # samples by which pieces were off
        self._catching_up = False  # more is to be left out
        self._next = 0  # pts of the next frame for the encoder
        self._restart()

    def encode(self, audio: AudioFrame) -> Iterator[av.Packet[Any]]:
        """Encodes a piece of audio; damaged pieces are left out."""
        place: float = audio.time_s * RATE
        for samples in audio.decoded:
            place += _skipped(audio) * RATE / samples.sample_rate if place < 0 else 0
            length = samples.samples * RATE / samples.sample_rate
            gap = self._gap(place)
            late = min(max(0.0, -gap), length)
            self.late_s += late / RATE
            if late < length:
                yield from self._follow(samples, place, max(0.0, gap))
                yield from self._encoded(_without(samples, round(late * samples.samples / length)))
                assert self._due is not None
                self._due += length - late
            place += length

    def silence(self, until_s: Fraction) -> Iterator[av.Packet[Any]]:
        """Encodes silence from the end of the last piece until then, unless that is as good as
        there."""
        if self._due is None:
            self._due, self._next = 0.0, 0
        rate, layout, samples = self._format or (RATE, self.layout, self.context.format.name)
        self._format = rate, layout, samples
        while float(until_s) * RATE - self._due > self._off:
            count = round(min(1.0, float(until_s) - self._due / RATE) * rate)
            yield from self._encoded(_silence(self._format, count))
            self._due += count * RATE / rate

    def flush(self) -> Iterator[av.Packet[Any]]:
        """Yields what is left, at the end of the stream."""
        if self._due is not None:
            yield from self._encoded(None)
        yield from self.context.encode(None)

    def _encoded(self, samples: av.AudioFrame | None) -> Iterator[av.Packet[Any]]:
        """Encodes what ``samples`` complete, whole frames; None: the rest as well."""
        for frame in self._resampler.resample(samples):
            frame.pts, frame.time_base = self._next, self.context.time_base
            self._next += frame.samples
            yield from self.context.encode(frame)

    def _gap(self, place: float) -> float:
        """Returns the samples to fill before a piece, below 0 those to leave out of it."""
        apart = 0.0 if self._due is None else place - self._due
        self._apart.append(apart)
        if abs(apart) <= self._off and not (self._catching_up and apart < -1):
            apart = min(self._apart, key=abs)  # for sure
            one_way = min(self._apart) * max(self._apart) > 0
            if len(self._apart) < AGREED or not one_way or abs(apart) < STEADY_S * RATE:
                self._catching_up = False
                return 0.0
        self._apart.clear()
        self._catching_up = apart < 0
        return apart

    def _follow(self, samples: av.AudioFrame, place: float, gap: float) -> Iterator[av.Packet[Any]]:
        """Goes on over a gap: by silence; after a long one or in another format from scratch."""
        now = (samples.sample_rate, samples.layout.name, samples.format.name)
        due = place if self._due is None else self._due
        if self._due is not None and (now != self._format or gap > SILENCE_S * RATE):
            yield from self.flush()
            self._restart()
        self._format = now
        if self._due is None:
            self._due, self._next = due + gap, round(due + gap)
        elif gap:
            yield from self._encoded(_silence(now, round(gap * now[0] / RATE)))
            self._due = due + gap

    def _restart(self) -> None:
        self.context = context = _context(self._codec, self.layout, self._kbit_s)
        self._resampler = av.AudioResampler(
            context.format, context.layout, RATE, context.frame_size
        )
        self._due, self._next = None, 0


def _context(codec: str, layout: str, kbit_s: int) -> av.AudioCodecContext:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = RATE
    context.layout = layout
    formats = context.codec.audio_formats
    context.format = formats[0] if formats else "fltp"
    context.bit_rate = kbit_s * 1000
    context.time_base = Fraction(1, RATE)
    context.flags |= av.codec.context.Flags.global_header
    context.open()
    return context


def _skipped(audio: AudioFrame) -> int:
    """Samples that the decoder leaves out at the packet's start: a codec's priming."""
    packet = audio.packet
    if packet is None or not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")


def _silence(form: tuple[int, str, str], samples: int) -> av.AudioFrame:
    """Returns silence of a rate, a layout and a format of samples."""
    rate, layout, kind = form
    frame = av.AudioFrame(kind, layout, samples)
    frame.sample_rate = rate
    level = b"\x80" if kind.startswith("u8") else b"\0"
    for plane in frame.planes:
        plane.update(level * plane.buffer_size)
    return frame


def _without(samples: av.AudioFrame, count: int) -> av.AudioFrame:
    """Returns samples without the first ``count`` of them."""
    if not count:
        return samples
    each = 1 if samples.format.is_planar else samples.layout.nb_channels
    rest = samples.to_ndarray()[:, count * each :].copy()
    frame = av.AudioFrame.from_ndarray(rest, samples.format.name, samples.layout.name)
    frame.sample_rate = samples.sample_rate
    return frame
