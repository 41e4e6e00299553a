"""The tracks of a container: which are read, and what a file carries beside its video.

Nothing here reads packets. What is described outlives the container it was found in.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeVar

import av
from av.stream import AttachmentStream, Disposition, Stream

from streamsr.core.errors import SourceError
from streamsr.media.tracks.layouts import settle_layout

if TYPE_CHECKING:
    from av.container.core import Chapter

__all__ = [
    "ALL",
    "Attachment",
    "Carried",
    "Streams",
    "TrackInfo",
    "audio_of",
    "carried_by",
    "cover_of",
    "lasting",
    "name_of",
    "start_of",
    "streams_of",
]

ALL: Literal["all"] = "all"
ENCODERS = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration")
"""Tags that say how a file was written, and are the writer's to set."""

S = TypeVar("S", bound=Stream)


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of a container that are read."""

    video: av.VideoStream
    audio: av.AudioStream | None  # what is heard where there can be one only
    kept: tuple[Stream, ...] = ()  # in their order: all audio, that one too, and subtitles
    covers: tuple[av.VideoStream, ...] = ()
    left_out: tuple[str, ...] = ()  # streams that are not read, named for people

    @property
    def read(self) -> list[Stream]:
        return [self.video, *self.kept, *self.covers]


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """A track as its file has it."""

    index: int  # of its stream in the file
    name: str  # for people
    tags: Mapping[str, str]
    disposition: int
    stream: Stream  # describes and decodes its packets; no container of the file's


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file within the file: a font, or a cover."""

    name: str
    mimetype: str
    data: bytes = field(repr=False)
    size: tuple[int, int] = (1, 1)  # of an image, in pixels


@dataclass(frozen=True, slots=True)
class Carried:
    """What a file carries beside its frames, for the file that is written."""

    tags: Mapping[str, str]  # title, creation_time, ...
    chapters: Sequence[Chapter]  # their times from the file's start
    video_tags: Mapping[str, str]
    video_disposition: int
    before: int  # tracks that come before the video
    tracks: Sequence[TrackInfo]  # audio and subtitles, in their order
    attachments: list[Attachment]
    left_out: list[str]  # as it stands: some are read later

    @property
    def named(self) -> list[str]:
        """All of it that takes time, for people."""
        return [*(track.name for track in self.tracks), *self.left_out]


def streams_of(
    container: av.container.InputContainer,
    video: int | None = None,
    audio: int | Literal["all"] = ALL,
) -> Streams:
    """Chooses the streams that are read: those that a player would, unless they are named.

    ``video`` and ``audio`` count the streams of their kind from 0. Without them it is the stream
    that is marked as default, or the first; the audio is of the video's programme. Streams without
    a decoder are left out, since they could not be copied either. Raises SourceError where there
    is no such stream.
    """
    videos, audios = container.streams.video, container.streams.audio
    covers = [s for s in videos if s.disposition & Disposition.attached_pic]
    films = [s for s in videos if s not in covers] or covers
    if not films:
        raise SourceError("there is no video in it")
    chosen = _default(films) if video is None else _numbered("video", films, video)
    if chosen is None or chosen.codec_context is None:
        index = (chosen or films[0]).index
        raise SourceError(f"there is no decoder for its video, stream {index}")
    related = _of_programme(container, chosen)
    if audio == ALL:
        heard = [s for s in audios if s in related]
    else:
        heard = [_numbered("audio", audios, audio)]
    kept = [s for s in (*heard, *container.streams.subtitles) if s in related or s in heard]
    kept = [s for s in kept if s.codec_context is not None]
    covers = [s for s in covers if s is not chosen and s.codec_context is not None]
    read = [chosen, *kept, *covers]
    return Streams(
        video=chosen,
        audio=_default([s for s in heard if s.codec_context is not None]),
        kept=tuple(sorted(kept, key=lambda s: s.index)),
        covers=tuple(covers),
        left_out=tuple(_left_out(container, read)),
    )


def audio_of(container: av.container.InputContainer) -> av.AudioStream | None:
    """Chooses the audio that a player would take, also where there is no video; None: none."""
    try:
        return streams_of(container).audio
    except SourceError:
        return _default(container.streams.audio)


def carried_by(
    container: av.container.InputContainer, streams: Streams, start: Fraction
) -> Carried:
    """Describes what a container carries that starts at ``start``; covers come as packets."""
    before = sum(stream.index < streams.video.index for stream in streams.kept)
    return Carried(
        tags=_tags(container.metadata),
        chapters=[_shifted(chapter, start) for chapter in container.chapters()],
        video_tags=_told(streams.video),
        video_disposition=int(streams.video.disposition),
        before=before,
        tracks=[
            TrackInfo(s.index, name_of(s), _told(s), int(s.disposition), lasting(s))
            for s in streams.kept
        ],
        attachments=[_attachment(s) for s in container.streams if isinstance(s, AttachmentStream)],
        left_out=list(streams.left_out),
    )


def start_of(container: av.container.InputContainer, streams: Streams) -> Fraction:
    """Returns the second at which what is read of a container begins, by its stamps."""
    heard = [s for s in (streams.video, *streams.kept) if s.type != "subtitle"]
    begins = [s.start_time * s.time_base for s in heard if s.start_time is not None and s.time_base]
    return min(begins, default=Fraction(container.start_time or 0, av.time_base))


def lasting(stream: S) -> S:
    """Copies what describes a stream: its own is freed with its container, read or not."""
    copy = av.open(os.devnull, "w", format="null").add_stream_from_template(stream, opaque=True)
    if isinstance(copy, av.AudioStream):
        settle_layout(copy)
    return copy


def name_of(stream: Stream) -> str:
    """Names a stream for people: "audio 1 (ac3, deu)"."""
    same = [s for s in stream.container.streams if s.type == stream.type]
    facts = [codec_of(stream), stream.language or ""]
    told = ", ".join(fact for fact in facts if fact not in ("", "und"))
    return f"{stream.type} {same.index(stream)}" + (f" ({told})" if told else "")


def codec_of(stream: Stream) -> str:
    """Returns FFmpeg's name of the stream's codec, whatever decodes it; "" where none does."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else ""


def _default(streams: Sequence[S]) -> S | None:
    """The stream that a player takes: decoded, marked as default, and for everybody."""

    def unlikely(stream: S) -> tuple[bool, bool]:
        impaired = Disposition.hearing_impaired | Disposition.visual_impaired
        marks = stream.disposition
        return not marks & Disposition.default, bool(marks & impaired)

    decoded = [stream for stream in streams if stream.codec_context is not None]
    return min(decoded, key=unlikely, default=None)


def _numbered(kind: str, streams: Sequence[S], number: int) -> S:
    if not streams:
        raise SourceError(f"got --{kind} {number}, but there is no {kind} in it")
    if number >= len(streams):
        allowed = "0" if len(streams) == 1 else f"0 to {len(streams) - 1}"
        raise SourceError(f"got --{kind} {number}, allowed is {allowed}")
    return streams[number]


def _of_programme(container: av.container.InputContainer, video: av.VideoStream) -> list[Stream]:
    """The streams of the video's programme: all, where the container has no programmes.

    PyAV does not list programmes, but av_find_best_stream looks into the one of a related stream,
    and prefers by disposition first.
    """
    marked = {stream.index: stream.disposition for stream in container.streams.video}
    try:
        for stream in container.streams.video:
            stream.disposition = Disposition.visual_impaired
        video.disposition = Disposition.default
        best = container.streams.best
        return [s for s in container.streams if s is video or best("video", related=s) is video]
    finally:
        for stream in container.streams.video:
            stream.disposition = marked[stream.index]


def _left_out(container: av.container.InputContainer, read: Sequence[Stream]) -> list[str]:
    chapters = container.chapters()
    told = []
    for stream in container.streams:
        if stream in read or stream.type == "attachment":
            continue
        if stream.type == "data" and chapters and stream.frames == len(chapters):
            continue  # the titles of chapters, as MP4 has them
        told.append(name_of(stream))
    return told


def _told(stream: Stream) -> dict[str, str]:
    """What people say of a track: its language and title, which FFmpeg reads of MP4 as a name."""
    told = stream.metadata
    named = {"language": told.get("language"), "title": told.get("title") or told.get("name")}
    return {key: value for key, value in named.items() if value}


def _tags(metadata: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in metadata.items() if k.lower() not in ENCODERS}


def cover_of(packet: av.Packet[av.VideoStream]) -> Attachment:
    """Returns a file's cover, from its packet."""
    stream, codec = packet.stream, codec_of(packet.stream)
    kind = "jpeg" if codec == "mjpeg" else codec
    name = stream.metadata.get("filename", f"cover.{'jpg' if kind == 'jpeg' else kind}")
    size = max(1, stream.width), max(1, stream.height)
    return Attachment(name, f"image/{kind}", bytes(packet), size)


def _attachment(stream: AttachmentStream) -> Attachment:
    name = stream.metadata.get("filename", f"attachment {stream.index}")
    return Attachment(name, stream.mimetype or "application/octet-stream", stream.data)


def _shifted(chapter: Chapter, start: Fraction) -> Chapter:
    base = chapter["time_base"] or Fraction(1, av.time_base)
    shift = round(start / base)
    begin, end = (max(0, chapter[edge] - shift) for edge in ("start", "end"))
    return {**chapter, "start": begin, "end": end}
