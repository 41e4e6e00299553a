"""A file as a source: from the first frame to the last, as fast as they are asked for."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from streamsr.core.errors import InputError, SourceError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.redact import redact
from streamsr.media.container import reason_of
from streamsr.media.depth import DepthConverter
from streamsr.media.pixels import from_av
from streamsr.media.source import (
    AudioFrame,
    Item,
    PacketSizes,
    Source,
    SourceInfo,
    nominal_rate,
    stream_info,
    streams_of,
)
from streamsr.sources.containers import opened

__all__ = ["FileSource"]

JUMP_BACK_S = Fraction(1, 2)  # more than any reordering leaves


class FileSource(Source):
    """Any file or address that PyAV opens and that has an end."""

    def __init__(self, url: str, emit: Emit, follow_s: float | None = None) -> None:
        """``follow_s``: a file that still grows ends once it has not grown for so long."""
        self.url = url
        self._follow_s = follow_s
        self.name = redact(url)
        self._emit = emit
        self._depth = DepthConverter()
        self._damaged = 0  # packets that could not be decoded

    def items(self, stop: threading.Event) -> Iterator[Item]:
        try:
            with opened(self.url, stop, self._follow_s) as container:
                yield from self._read(container, stop)
        except InputError:
            if not stop.is_set():  # else the bytes of a pipe ended by it
                raise

    def _read(
        self, container: av.container.InputContainer, stop: threading.Event
    ) -> Iterator[Item]:
        try:
            video, audio = streams_of(container)
        except SourceError as error:
            raise InputError(f"input {self.name}: {error}") from None
        video.thread_type = "AUTO"
        times = _Times((container.start_time or 0) / av.time_base, video)
        sizes = PacketSizes()
        info: SourceInfo | None = None
        for packet in self._packets(container, [s for s in (video, audio) if s is not None]):
            if stop.is_set():
                return
            if audio is not None and packet.stream is audio:
                if packet.pts is not None and packet.time_base is not None:
                    time_s = float(packet.pts * packet.time_base) - times.start_s
                    yield AudioFrame(time_s, audio.codec_context.name, packet)
                continue
            sizes.note(packet)
            for image in self._decode(packet):
                if info is None:
                    info = stream_info(video, audio, image)
                    yield info
                pts = times.placed(image.pts)
                yield from_av(
                    self._depth.converted(image),
                    pts=pts,
                    time_base=times.base,
                    packet_bytes=sizes.of(image),
                    rotation=image.rotation,
                )
        if info is None:
            raise InputError(f"input {self.name}: no frame in it can be decoded")

    def _packets(
        self, container: av.container.InputContainer, streams: list[av.stream.Stream]
    ) -> Iterator[av.Packet[Any]]:
        """Yields every packet; where the file breaks off, what came before counts."""
        try:
            yield from container.demux(streams)
        except av.FFmpegError as error:
            self._complain(f"the file is damaged: {reason_of(error)}; it ends here")

    def _decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except av.FFmpegError as error:
            self._damaged += 1
            self._complain(f"{self._damaged} damaged packets left out: {reason_of(error)}")
            return []

    def _complain(self, message: str) -> None:
        self._emit(Event(Code.SRC_DAMAGED, self.name, message))


class _Times:
    """A file's times from its start, strictly rising. Joined recordings, whose stamps jump back
    where one begins, go on where the one before ended."""

    def __init__(self, start_s: float, video: av.VideoStream) -> None:
        self.start_s = start_s  # what source seconds begin at; moves with every jump back
        self.base = video.time_base or Fraction(1, 90_000)
        self._step = max(1, round(1 / (nominal_rate(video) * self.base)))
        self._last: int | None = None

    def placed(self, pts: int | None) -> int:
        """Returns a frame's pts, in units of ``base``."""
        last = self._last
        due = 0 if last is None else last + self._step
        placed = due if pts is None else pts - round(self.start_s / self.base)
        if last is not None and placed < last - JUMP_BACK_S / self.base:
            self.start_s += float((placed - due) * self.base)
            placed = due
        self._last = placed if last is None else max(placed, last + 1)
        return self._last
