"""One open container: packets of video and a track of audio on their way to a file or a server.

It owns the muxer. It never decides when to open or close one, nor what a failure means: errors are
FFmpeg's own. Opening, the header and closing hold the GIL for as long as the peer likes.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import errno
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import av
from av.packet import PacketSideData
from av.stream import Disposition, Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from streamsr.core.packet import Packet
from streamsr.core.redact import redact
from streamsr.media.pipes import PipeWriter
from streamsr.media.tracks.carried import Attachment
from streamsr.media.tracks.mp4_tracks import TrackFix

if TYPE_CHECKING:
    from av.container.core import Chapter

__all__ = ["Container", "reason_of"]

COVERS = {"image/jpeg": "mjpeg", "image/png": "png", "image/bmp": "bmp"}
"""What a still image in MP4 may be coded in, by its MIME type."""

S = TypeVar("S", bound=Stream)

MOST_TICKS = 2**31 - 1  # between two packets of a track
FARTHEST = 2**53  # from 0, that no muxer's arithmetic overflows
HALF = Fraction(1, 2)
LONGEST_S = 3600  # that a packet may say it lasts; more is damage


class Container:
    """An output container. Tracks are added, then ``begin``, packets, ``close``.

    Raises av.FFmpegError or OSError where the file or the peer fails.
    """

    def __init__(
        self,
        target: str | PipeWriter | io.BytesIO,
        options: Mapping[str, str],
        container_format: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._pipe = target if isinstance(target, PipeWriter) else None
        self._container = av.open(target, "w", format=container_format, options=dict(options))
        self._container.metadata.update(metadata or {})
        self._video: av.VideoStream | None = None
        self._audio: av.AudioStream | None = None
        self._decoded: dict[int, int] = {}  # by stream: its newest decoding time, in its ticks
        self._held: dict[int, av.Packet[Any]] = {}  # by stream: its newest packet, of MP4
        self._delay = Fraction(0)  # of video: from the first frame's decoding to its being shown
        self.end_s = Fraction(0)  # when the last frame is over
        self.fixes: dict[int, TrackFix] = {}  # by track: what a closed MP4 file still needs
        self._first: list[tuple[Stream, bytes]] = []  # packets at 0, written after the header
        self.cut = False  # it is closed, and a pipe's reader has not taken all

    def add_video(
        self,
        keyframe: Packet,
        rate: Fraction | None,
        size: tuple[int, int] = (0, 0),
    ) -> av.VideoStream:
        """Adds the track whose first frame, with its parameter sets, is ``keyframe``; VP9, which
        has none, is of ``size`` and of square pixels: PyAV cannot state others."""
        if keyframe.codec == "vp9":
            described = self._container.add_stream("libvpx-vp9", rate=rate)
            described.width, described.height = size
            described.time_base = keyframe.time_base
            self._video = described
            return described
        with av.open(io.BytesIO(keyframe.data), format=keyframe.codec) as probe:
            template = probe.streams.video[0]
            named = {} if rate is None else {"framerate": rate}
            self._video = self._container.add_stream_from_template(template, opaque=True, **named)
        self._video.time_base = keyframe.time_base
        if keyframe.codec == "hevc" and self._is_mp4:
            self._video.codec_tag = "hvc1"  # "hev1" is what Apple's players refuse
        return self._video

    def add_audio(self, layout: str = "stereo", codec: str = "aac") -> av.AudioStream:
        """Adds a track of AAC-LC, or of another ``codec``, at 48 kHz; ``audio`` writes to the
        newest."""
        audio = self._container.add_stream(codec, rate=48_000, layout=layout)
        assert isinstance(audio, av.AudioStream)
        self._audio = audio
        return audio

    def add_copy(self, template: S) -> S:
        """Adds a track as ``template`` has it."""
        return self._container.add_stream_from_template(template, opaque=True)

    def add_text(self, codec: str, header: bytes) -> tuple[SubtitleStream, SubtitleCodecContext]:
        """Adds a track of subtitles; returns it and its encoder, which takes the styles of
        ``header`` (ASS)."""
        stream = self._container.add_stream(codec)
        assert isinstance(stream, SubtitleStream)
        encoder = stream.codec_context
        encoder.subtitle_header = header
        encoder.time_base = stream.time_base = Fraction(1, 1000)
        return stream, encoder

    def begin_text(self, stream: Stream) -> None:
        """Makes a track of text in MP4 begin at 0, as all of its times are counted from there."""
        self._first.append((stream, b"\0\0"))

    def attach(self, attachment: Attachment) -> bool:
        """Adds a file within the file; returns False where the container has no place for it."""
        if self._container.format.name == "matroska":
            self._container.add_attachment(
                attachment.name, attachment.mimetype, bytes(attachment.data)
            )
            return True
        codec = COVERS.get(attachment.mimetype)
        if codec is None or self._container.format.name != "mp4":
            return False
        width, height = attachment.size
        stream = self._container.add_mux_stream(codec, width=width, height=height)
        stream.disposition = Disposition.attached_pic
        self.fixes[stream.index] = TrackFix.REMOVE
        self._first.append((stream, attachment.data))
        return True

    def mark(self, stream: Stream, tags: Mapping[str, str], disposition: int) -> None:
        """Sets a track's tags and FFmpeg's disposition flags."""
        stream.metadata.update(tags)
        if self._is_mp4 and "title" in tags:
            stream.metadata["handler_name"] = tags["title"]  # where players look for it
        stream.disposition = Disposition(disposition)
        if self._is_mp4 and stream.type == "subtitle" and not disposition & Disposition.default:
            self.fixes[stream.index] = TrackFix.DISABLE

    def describe(self, tags: Mapping[str, str]) -> None:
        """Sets the file's tags."""
        self._container.metadata.update(tags)

    def divide(self, chapters: Sequence[Chapter], end_s: Fraction | None = None) -> None:
        """Sets a file's chapters, up to its end: muxers write them with the trailer too."""
        cut = chapters if end_s is None else _cut(chapters, end_s)
        self._container.set_chapters(list(cut))

    @property
    def video_index(self) -> int:
        """The place of the video among the tracks."""
        assert self._video is not None  # it was added before
        return self._video.index

    @property
    def _is_mp4(self) -> bool:
        return self._container.format.name in ("mp4", "mov")

    def begin(self) -> None:
        """Writes the header, which servers answer. The first packet would do it otherwise."""
        self._container.start_encoding()
        first, self._first = self._first, []
        for stream, data in first:
            self._mux(stream, data, 0, Fraction(1, 1000))

    def video(self, packet: Packet, pts: int) -> None:
        """Writes a frame, at ``pts`` in the packet's time base."""
        earlier = 0 if packet.dts is None else packet.pts - packet.dts
        if not self.end_s:
            self._delay = earlier * packet.time_base
        self.end_s = max(self.end_s, (pts + packet.duration) * packet.time_base)
        self._mux(
            self._video,
            packet.data,
            pts,
            packet.time_base,
            keyframe=packet.keyframe,
            duration=packet.duration,
            dts=pts - earlier,
        )

    def audio(self, data: bytes, pts: int, time_base: Fraction, duration: int) -> None:
        """Writes a packet of audio, its times in ``time_base``."""
        self._mux(self._audio, data, pts, time_base, duration=duration)

    def copy(self, stream: Stream, packet: av.Packet[Any], pts: int) -> None:
        """Writes a packet of a track that was added, at ``pts`` in the packet's time base.

        The packet stays as it is: others may decode it.
        """
        assert packet.time_base is not None
        self._mux(
            *(stream, bytes(packet), pts, packet.time_base),
            keyframe=packet.is_keyframe,
            duration=packet.duration or 0,
            marks=list(packet.iter_sidedata()),
        )

    def release(self) -> None:
        """Writes what is held back of video and audio: no more of them come.

        FFmpeg adds up how long frames last in the order of decoding, where a B-frame may be last.
        """
        while self._held:
            index, packet = self._held.popitem()
            if packet.stream is self._video and packet.duration and packet.time_base:
                end = round((self.end_s - self._delay) / packet.time_base)
                packet.duration = max(1, end - self._decoded[index])
            self._container.mux(packet)

    def close(self) -> None:
        """Writes the trailer. Closing twice does nothing."""
        pipe, self._pipe = self._pipe, None
        try:
            self.release()
            self._container.close()
        finally:
            if pipe is not None:
                self.cut = pipe.cut
                pipe.close()

    def _mux(
        self,
        stream: Stream | None,
        data: bytes,
        pts: int,
        time_base: Fraction,
        *,
        keyframe: bool = True,
        duration: int = 0,
        marks: Sequence[PacketSideData] = (),
        dts: int | None = None,
    ) -> None:
        assert stream is not None  # it was added before
        self.begin()
        ticks = self._ticks(stream, pts, pts if dts is None else dts, time_base)
        packet: av.Packet[Any] = av.Packet(data)
        for mark in marks:
            packet.set_sidedata(mark)
        packet.stream, packet.is_keyframe = stream, keyframe
        packet.time_base = stream.time_base or time_base
        packet.pts, packet.dts = ticks
        lasts = duration * time_base  # 0: the muxer finds out
        packet.duration = round(lasts / packet.time_base) if 0 <= lasts <= LONGEST_S else 0
        if self._is_mp4 and stream.index not in self.fixes and stream.type in ("video", "audio"):
            self._hold(packet)
        else:
            self._container.mux(packet)

    def _hold(self, packet: av.Packet[Any]) -> None:
        """Writes the packet before this one in its track, which lasts up to this one.

        FFmpeg's MP4 muxer takes the end of a fragment's last packet for where the next one begins:
        it moves one that does not, and asserts that those behind it are later.
        """
        before = self._held.get(packet.stream.index)
        self._held[packet.stream.index] = packet
        if before is not None:
            before.duration = max(0, (packet.dts or 0) - (before.dts or 0))
            self._container.mux(before)

    def _ticks(self, stream: Stream, pts: int, dts: int, base: Fraction) -> tuple[int, int]:
        """Returns two stamps in the track's ticks.

        Raises OSError for those too far from what was before them in the track: FFmpeg's MP4 muxer
        asserts that they fit in 31 bits, which ends the process.
        """
        assert stream.time_base is not None
        shown, ticks = (math.floor(t * base / stream.time_base + HALF) for t in (pts, dts))
        before = self._decoded.get(stream.index, ticks)
        apart = max(abs(ticks - before), abs(shown - ticks))
        if apart > MOST_TICKS or max(abs(shown), abs(ticks), abs(pts), abs(dts)) > FARTHEST:
            apart_h, most_h = (float(n * stream.time_base / 3600) for n in (apart, MOST_TICKS))
            raise OSError(
                errno.EOVERFLOW,
                f"got time stamps {apart_h:.1f} h apart, allowed in this track are {most_h:.1f} h",
            )
        self._decoded[stream.index] = ticks
        return shown, ticks


def _cut(chapters: Sequence[Chapter], end_s: Fraction) -> Iterator[Chapter]:
    """Yields what lies before ``end_s`` of chapters: players take one's end for the file's."""
    for chapter in chapters:
        end = math.floor(end_s / (chapter["time_base"] or Fraction(1, av.time_base)))
        if chapter["start"] < end:
            yield {**chapter, "end": min(chapter["end"], end)}


def reason_of(error: Exception) -> str:
    """Returns a library's error in its own words, without the address FFmpeg adds to them."""
    return redact(getattr(error, "strerror", None) or str(error) or type(error).__name__)
