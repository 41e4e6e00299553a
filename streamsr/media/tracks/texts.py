"""Subtitles on their way into a file as text of another format, or as MP4 has it."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from fractions import Fraction
from itertools import zip_longest
from typing import Any

import av
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext

from streamsr.media.container import Container
from streamsr.media.source import Piece

__all__ = ["ConvertedText", "TimedText"]

MS = Fraction(1, 1000)
NO_TEXT = b"\0\0"  # of 3GPP TS 26.245: a length of 0
SHOWN_S = Fraction(4)  # that a text is shown which does not say


class TimedText:
    """Text in MP4, one at a time, at the end of the file.

    FFmpeg's muxer ends each text by an empty one when it sees a later packet, but compares times in
    different units: where texts overlap, or other tracks are ahead, its times fall, which an
    assertion ends the process for. Once all else is written, and each text ends before the next,
    they cannot.
    """

    def __init__(self, container: Container, stream: Stream) -> None:
        self.stream = stream
        self._container = container
        self._texts: list[tuple[int, int, bytes]] = []  # from and to, in ms
        self._cut = 0
        container.begin_text(stream)

    def write(self, piece: Piece) -> None:
        packet = piece.packet
        if packet is not None and packet.size > len(NO_TEXT):  # else the end of the one before
            self.add(piece.time_s, packet, bytes(packet))

    def add(self, time_s: float, timed: av.Packet[Any], data: bytes) -> None:
        """Takes a text that is shown as ``timed`` says."""
        begin = max(0, round(time_s / MS))
        lasts = (timed.duration or 0) * (timed.time_base or MS) or SHOWN_S
        self._texts.append((begin, begin + round(lasts / MS), data))

    def finish(self) -> None:
        self._texts.sort(key=lambda text: text[:2])
        follows = [begin for begin, _, _ in self._texts[1:]]
        last = None
        for (begin, end, data), following in zip_longest(self._texts, follows):
            until = end if following is None else min(end, following)
            self._cut += until < end
            if until > begin:
                text: av.Packet[Any] = av.Packet(data)
                text.time_base, text.duration = MS, until - begin
                self._container.copy(self.stream, text, begin)
                last = until
        if last is not None:  # else FFmpeg's own end lasts as long as the text before it
            closing: av.Packet[Any] = av.Packet(NO_TEXT)
            closing.time_base, closing.duration = MS, 1
            self._container.copy(self.stream, closing, last)

    @property
    def lost(self) -> str:
        return f"{self._cut} texts cut short where the next begins" if self._cut else ""


class ConvertedText:
    """Subtitles of another format of text."""

    def __init__(
        self, container: Container, decoder: SubtitleCodecContext, codec: str, *, timed: bool
    ) -> None:
        """``codec``: what it becomes. ``timed``: as MP4 has it."""
        decoder.open(strict=False)
        self._decoder = decoder
        self._container = container
        header = decoder.subtitle_header or b""
        self.stream, self._encoder = container.add_text(codec, header)
        self._timed = TimedText(container, self.stream) if timed else None
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
        if self._timed is not None:
            self._timed.add(piece.time_s, packet, bytes(text))
            return
        seconds = (packet.duration or 0) * (packet.time_base or MS)
        text.time_base, text.duration = MS, round(seconds / MS)
        self._container.copy(self.stream, text, round(piece.time_s / MS))

    def finish(self) -> None:
        if self._timed is not None:
            self._timed.finish()

    @property
    def lost(self) -> str:
        told = [f"{self._lost} damaged texts"] if self._lost else []
        if self._timed is not None and self._timed.lost:
            told.append(self._timed.lost)
        return ", ".join(told)
