"""A file as a source: from the first frame to the last, as fast as they are asked for."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal

import av

from streamsr.core.errors import InputError, SourceError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.redact import redact
from streamsr.media.container import reason_of
from streamsr.media.source import (
    Item,
    MediaSource,
    Piece,
    Reached,
    SourceInfo,
    stream_info,
)
from streamsr.media.tracks.carried import (
    ALL,
    Attachment,
    Streams,
    carried_by,
    cover_of,
    start_of,
    streams_of,
)
from streamsr.media.tracks.succession import Succession
from streamsr.sources.containers import opened
from streamsr.sources.interlace.deinterlace import Deinterlace, Deinterlacer
from streamsr.sources.timing.decoded import DecodedFrames
from streamsr.sources.timing.pieces import OtherPieces
from streamsr.sources.timing.seeking import can_seek, seek_before
from streamsr.sources.timing.stamps import PacketTimes, kept_of, kind_of_stamps
from streamsr.sources.timing.timeline import Jump

__all__ = ["FileSource"]


class FileSource(MediaSource):
    """Any file or address that PyAV opens and that has an end."""

    def __init__(
        self,
        url: str,
        emit: Emit,
        follow_s: float | None = None,
        *,
        max_gap_s: float | None = None,
        deinterlace: Deinterlace = "auto",
        bits: int | None = 8,
        video: int | None = None,
        audio: int | Literal["all"] = ALL,
    ) -> None:
        """``follow_s``: a file that still grows ends once it has not grown for so long.

        ``max_gap_s``: the longest gap between frames that is kept; None: as the format suggests,
        see ``streamsr.sources.timing.stamps``. ``bits`` are those of ``DepthConverter``, ``video``
        and ``audio`` those of ``streams_of``.
        """
        self.url = url
        self._follow_s = follow_s
        self._video, self._audio = video, audio
        self.name = redact(url)
        self._emit = emit
        self._deinterlace = deinterlace
        self._max_gap_s = max_gap_s
        self._bits = bits
        self._damaged = 0  # packets that could not be decoded
        self._sought_s: Fraction | None = None  # where it is to begin, roughly
        self._passes = False  # it has not come to where it goes on: it tells nothing
        self._reading: _Reading | None = None  # what goes on now

    def place(self) -> dict[str, Any] | None:
        faults = self._damaged or self.jumps or self.moved
        return None if faults or self._reading is None else self._reading.state

    def begin_before(self, time_s: Fraction) -> None:
        self._sought_s, self._passes = time_s, True

    def restore(self, place: Mapping[str, Any]) -> bool:
        self._passes, self._damaged = False, 0
        if self._reading is None or self.place() is None:
            return False
        return self._reading.deinterlacer.restore(place)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        try:
            left_out: list[str] = []  # told by what reads it
            info = None if self._sought_s is None else self._described(stop)
            with opened(self.url, stop, self._follow_s, left_out) as container:
                for item in self._read(container, stop, left_out, info):
                    if not isinstance(item, Reached):
                        yield item
        except InputError:
            if not stop.is_set():  # else the bytes of a pipe ended by it
                raise

    def carried(self, stop: threading.Event) -> Iterator[SourceInfo | Piece | Reached]:
        """Yields what ``items`` does but for the frames, of which the first alone is decoded: in
        their place how far it has come. Raises InputError as ``items`` does."""
        left_out: list[str] = []
        with opened(self.url, stop, self._follow_s, left_out) as container:
            for item in self._read(container, stop, left_out, frames_too=False):
                if not isinstance(item, Frame):
                    yield item

    def _described(self, stop: threading.Event) -> SourceInfo | None:
        """What it is at its start."""
        with opened(self.url, stop) as container:
            found = self._read(container, stop, [], frames_too=False)
            return next((item for item in found if isinstance(item, SourceInfo)), None)

    def _begun(
        self,
        container: av.container.InputContainer,
        video: av.VideoStream,
        start: Fraction,
        deinterlacer: Deinterlacer,
        info: SourceInfo | None,
    ) -> Fraction:
        """Goes to where reading is to begin; returns the second before which nothing is read."""
        if info is None or self._sought_s is None:
            return Fraction(0)
        deinterlacer.describe(info, restored=True)
        return seek_before(container, video, start, self._sought_s)

    def _read(
        self,
        container: av.container.InputContainer,
        stop: threading.Event,
        left_out: list[str],
        info: SourceInfo | None = None,
        *,
        frames_too: bool = True,
    ) -> Iterator[Item | Reached]:
        """``info``: what it is, where it begins further on."""
        streams = self._streams(container)
        video = streams.video
        video.thread_type = "AUTO"
        deinterlacer = Deinterlacer(
            self._deinterlace, self._interlaced, waits=True, bits=self._bits
        )
        start = start_of(container, streams)
        carried = carried_by(container, streams, start)
        succession = Succession(container, streams, carried.left_out)
        times = PacketTimes(container, self._max_gap_s, start, succession.heirs)
        frames = DecodedFrames(video, deinterlacer, shown=kind_of_stamps(container).shown)
        others = OtherPieces(streams, carried.tracks, succession.heirs)
        self._reading = _Reading(container, deinterlacer, frames)
        times.begin_at(self._begun(container, video, start, deinterlacer, info))
        packets = succession.packets(self._packets(container, succession.read))
        for packet in times.steadied(packets):
            if stop.is_set():
                return
            if packet.stream in streams.covers:
                carried.attachments.extend(_covers(packet))
                continue
            if packet.stream.type != "video":
                self._tell_of(times.place(packet).jump)
                yield from others.piece(kept_of(packet) if self.jumps else packet)
                continue
            placed = times.place(packet, frames.step_s)
            self._tell_of(placed.jump)
            video = packet.stream
            if info is not None and not frames_too:
                yield Reached(float((packet.dts or 0) * (packet.time_base or 0)))
                continue
            frames.note(packet, placed.begins)
            for image in self._decode(kept_of(packet) if self.jumps else packet):
                orientation = frames.orientations.of(image)
                if info is None:
                    info = stream_info(video, streams.audio, image, orientation, carried)
                    deinterlacer.describe(info)
                    if not frames_too:
                        yield info
                        break
                yield from frames.of(image, orientation)
                self._tell_of_moved(frames.moved + times.strays)
        yield from deinterlacer.flush()
        carried.left_out.extend(left_out)
        if info is None:
            raise InputError(f"input {self.name}: no frame in it can be decoded")

    def _streams(self, container: av.container.InputContainer) -> Streams:
        try:
            return streams_of(container, self._video, self._audio)
        except SourceError as error:
            raise InputError(f"input {self.name}: {error}") from None

    def _packets(
        self, container: av.container.InputContainer, streams: list[av.stream.Stream]
    ) -> Iterator[av.Packet[Any]]:
        """Yields every packet; where the file breaks off, what came before counts."""
        try:
            yield from container.demux(streams)
        except av.FFmpegError as error:
            self._complain(f"the file is damaged: {reason_of(error)}; it ends here")
        except IndexError:  # PyAV's, at the end: of streams that began after it was opened
            return

    def _decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except av.FFmpegError as error:
            self._damaged += 1
            self._complain(f"{self._damaged} damaged packets left out: {reason_of(error)}")
            return []

    def _tell_of(self, jump: Jump | None) -> None:
        if jump is None:
            return
        self.jumps += not jump.kept
        self._tell(Code.SRC_TIME, jump.told)

    def _tell_of_moved(self, moved: int) -> None:
        if moved and not self.moved:
            told = (
                "time stamps repeat, fall or stand alone: their frames go between those beside them"
            )
            self._tell(Code.SRC_TIME, told)
        self.moved = moved

    def _interlaced(self, message: str) -> None:
        self._tell(Code.SRC_INTERLACED, message)

    def _complain(self, message: str) -> None:
        self._tell(Code.SRC_DAMAGED, message)

    def _tell(self, code: Code, message: str) -> None:
        if not self._passes:
            self._emit(Event(code, self.name, message))


class _Reading:
    """What one reading of a file stands on."""

    def __init__(
        self,
        container: av.container.InputContainer,
        deinterlacer: Deinterlacer,
        frames: DecodedFrames,
    ) -> None:
        self.deinterlacer = deinterlacer
        self._sought = can_seek(container)
        self._frames = frames

    @property
    def state(self) -> dict[str, Any] | None:
        """What another one needs to go on, None where it has to begin at the start."""
        whole = self._sought and self._frames.faultless
        return self.deinterlacer.state if whole else None


def _covers(packet: av.Packet[av.VideoStream]) -> list[Attachment]:
    return [cover_of(packet)] if packet.size else []
