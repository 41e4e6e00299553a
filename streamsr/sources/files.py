"""A file as a source: from the first frame to the last, as fast as they are asked for."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import av

from streamsr.core.errors import InputError, SourceError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.redact import redact
from streamsr.media.container import reason_of
from streamsr.media.orientation import Orientation, OrientationTracker
from streamsr.media.source import (
    DEFAULT_RATE,
    AudioFrame,
    Item,
    MediaSource,
    PacketSizes,
    Piece,
    Reached,
    SourceInfo,
    Subtitle,
    nominal_rate,
    stream_info,
)
from streamsr.media.tracks.carried import (
    ALL,
    Streams,
    TrackInfo,
    carried_by,
    codec_of,
    cover_of,
    lasting,
    start_of,
    streams_of,
)
from streamsr.media.tracks.succession import Succession
from streamsr.sources.containers import opened
from streamsr.sources.interlace.deinterlace import Deinterlace, Deinterlacer
from streamsr.sources.timing.frame_times import FrameTimes
from streamsr.sources.timing.stamps import (
    PacketTimes,
    PiecePlaces,
    StampChoice,
    kept_of,
    kind_of_stamps,
)
from streamsr.sources.timing.timeline import Jump

__all__ = ["FileSource"]

COARSEST = Fraction(1, 1000)  # a frame whose stamp is wrong fits between two others
FINEST = Fraction(1, 90_000)
"""A time base that every container holds for as long as an input may pause."""


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

    def items(self, stop: threading.Event) -> Iterator[Item]:
        try:
            left_out: list[str] = []  # told by what reads it
            with opened(self.url, stop, self._follow_s, left_out) as container:
                for item in self._read(container, stop, left_out):
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

    def _read(
        self,
        container: av.container.InputContainer,
        stop: threading.Event,
        left_out: list[str],
        *,
        frames_too: bool = True,
    ) -> Iterator[Item | Reached]:
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
        frames = _Frames(video, deinterlacer, shown=kind_of_stamps(container).shown)
        others = _Others(streams, carried.tracks, succession.heirs)
        info: SourceInfo | None = None
        packets = succession.packets(self._packets(container, succession.read))
        for packet in times.steadied(packets):
            if stop.is_set():
                return
            if packet.stream in streams.covers:
                carried.attachments.extend([cover_of(packet)] if packet.size else [])
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
        self._emit(Event(Code.SRC_TIME, self.name, jump.told))

    def _tell_of_moved(self, moved: int) -> None:
        if moved and not self.moved:
            told = (
                "time stamps repeat, fall or stand alone: their frames go between those beside them"
            )
            self._emit(Event(Code.SRC_TIME, self.name, told))
        self.moved = moved

    def _interlaced(self, message: str) -> None:
        self._emit(Event(Code.SRC_INTERLACED, self.name, message))

    def _complain(self, message: str) -> None:
        self._emit(Event(Code.SRC_DAMAGED, self.name, message))


class _Others:
    """The packets of audio and subtitles as what a stream delivers."""

    def __init__(
        self, streams: Streams, tracks: Sequence[TrackInfo], heirs: Mapping[int, int]
    ) -> None:
        """``heirs``: by a stream's index that of the one in whose place it is."""
        self._heard = None if streams.audio is None else streams.audio.index
        self._streams = {track.index: track.stream for track in tracks}
        self._heirs = heirs
        self._places: dict[int, PiecePlaces] = {}

    def piece(self, packet: av.Packet[Any]) -> Iterator[Piece]:
        """Yields what a packet is, at its place."""
        index = packet.stream.index
        track = self._heirs.get(index, index)
        if packet.time_base is None or not packet.size:
            return
        if index not in self._streams:
            self._streams[index] = lasting(packet.stream)
        if index not in self._places:
            self._places[index] = PiecePlaces(self._streams[index])
        begins_s = float(self._places[index].begin_s(packet))
        packet.stream = self._streams[index]  # which decodes it, also once the file is closed
        if packet.stream.type == "audio":
            codec = codec_of(packet.stream)
            yield AudioFrame(begins_s, codec, packet, track=track, heard=track == self._heard)
        else:
            yield Subtitle(begins_s, track, packet)


class _Frames:
    """Makes frames of one stream's decoded images, each at its place, strictly rising."""

    def __init__(
        self, video: av.VideoStream, deinterlacer: Deinterlacer, *, shown: bool = True
    ) -> None:
        """``shown``: its presentation times are the file's own."""
        self.orientations = OrientationTracker()
        self._deinterlacer = deinterlacer
        self._native = video.time_base or FINEST  # of packets and images
        self._base = max(self._native / math.ceil(self._native / COARSEST), FINEST)
        self.step_s = 1 / nominal_rate(video)
        usual = round(1 / (video.guessed_rate or DEFAULT_RATE) / self._native)
        self._times = FrameTimes(self._base, round(self.step_s / self._base))
        self._sizes = PacketSizes()
        self._choice = StampChoice(shown=shown, step=usual)
        self._lasts = None if shown else usual  # AVI says that of a field
        self._joined: int | None = None  # stamp at which another segment begins

    @property
    def moved(self) -> int:
        """Frames that are not where their stamps say."""
        return self._times.moved

    def note(self, packet: av.Packet[Any], begins: bool) -> None:
        """Takes a packet that is decoded next, and whether a joined segment begins with it."""
        self._sizes.note(packet)
        self._choice.note(packet.dts)
        if begins:
            self._joined = packet.pts if packet.pts is not None else packet.dts

    def of(self, image: av.VideoFrame, orientation: Orientation) -> Iterator[SourceInfo | Frame]:
        """Takes a decoded image and yields what is due."""
        image.duration = image.duration if self._lasts is None else self._lasts
        stamp = self._choice.best(image.pts, image.dts)
        joined = self._joined is not None and stamp is not None and stamp >= self._joined
        if joined:
            self._joined = None
        if stamp is not None:
            stamp = round(stamp * self._native / self._base)
        return self._deinterlacer.frames(
            image,
            pts=self._times.placed(stamp),
            time_base=self._base,
            discontinuous=joined,
            packet_bytes=self._sizes.of(image),
            orientation=orientation,
        )
