"""What a source is, file or live: what it tells of itself, and what it delivers."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol

import av

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.media.orientation import Orientation
from streamsr.media.tracks.carried import Carried, codec_of, lasting

__all__ = [
    "DEFAULT_RATE",
    "METADATA",
    "AudioFrame",
    "Item",
    "MediaSource",
    "PacketSizes",
    "Piece",
    "Reached",
    "SourceInfo",
    "Subtitle",
    "nominal_rate",
    "stream_info",
]

DEFAULT_RATE = Fraction(25)
ASPECT_TOLERANCE = Fraction(1, 200)
MOST_ROUNDED = 2  # px, of both sides together, to even numbers
MOST_DELAYED = 64  # frames that a decoder holds, far more than any does
METADATA = "replace"  # titles in Latin-1, which FFmpeg hands on as they are, are no failure


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source is found to be once it is open. Sizes are of the upright frame."""

    width: int  # pixels
    height: int
    rate: Fraction  # nominal frames a second
    sample_aspect: Fraction  # width / height of a pixel
    codec: str  # FFmpeg's name
    pixel_format: str
    frames: int | None = None  # in the whole of it, where known
    audio: av.AudioStream | None = None  # as AudioFrame packets have it; outlives the source
    audio_codec: str = ""
    names: tuple[str, ...] = ()  # of the files, for a folder of images
    scan: str = ""  # progressive or interlaced, for people; "": nobody looked
    carried: Carried | None = None  # beside the frames, by a file

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    def aspect_of(self, width: int, height: int) -> Fraction:
        """Returns width / height of a pixel of a frame that is resized to ``width`` x ``height``.

        The source's, unless rounding to whole or even sides would change what is shown by more
        than 0.5 %. Frames of another aspect ratio are another source's: they keep it.
        """
        exact = Fraction(width * self.height, height * self.width)  # wider than the source's frames
        by_rounding = abs(exact - 1) * min(width, height) <= MOST_ROUNDED
        kept = abs(exact - 1) <= ASPECT_TOLERANCE or not by_rounding
        return self.sample_aspect if kept else (self.sample_aspect / exact).limit_denominator(4096)


@dataclass(frozen=True)
class AudioFrame:
    """A piece of audio as it came: an encoded packet, or samples where there is no codec."""

    time_s: float  # of its first sample, in seconds of the stream
    codec: str  # FFmpeg's name
    packet: av.Packet[av.AudioStream] | None = None
    samples: av.AudioFrame | None = None
    track: int = 0  # its stream's index in a file
    heard: bool = True  # it is of the audio that viewers hear; False: a file alone keeps it

    @property
    def decoded(self) -> list[av.AudioFrame]:
        """The samples, decoded once for all readers; none where the packet is damaged.

        They have no pts, their time is ``time_s``, and are to be read only. All readers are of one
        thread, and read in the order of the stream.
        """
        return self._decoding[0]

    @property
    def damaged(self) -> bool:
        """Whether the packet cannot be decoded."""
        return self._decoding[1]

    def held_back(self) -> Iterator[AudioFrame]:
        """Yields what the decoder still holds after this last piece, as that of WMA does."""
        context = self.packet.stream.codec_context if self.packet is not None else None
        if context is None or self.damaged:
            return
        end_s = self.time_s + sum(frame.samples / frame.sample_rate for frame in self.decoded)
        try:
            for frame in context.decode(None):
                frame.pts = None
                yield replace(self, time_s=end_s, packet=None, samples=frame)
                end_s += frame.samples / frame.sample_rate
        except av.FFmpegError:
            return

    @cached_property  # the decoder is the stream's: fed the same packet twice, it gives noise
    def _decoding(self) -> tuple[list[av.AudioFrame], bool]:
        frames = [self.samples] if self.samples is not None else []
        if self.packet is not None:
            try:
                frames = self.packet.decode()
            except av.FFmpegError:
                return [], True
        for frame in frames:
            frame.pts = None  # a resampler would follow it
        return frames, False


@dataclass(frozen=True)
class Subtitle:
    """A packet of subtitles as it came, for a file alone."""

    time_s: float  # in seconds of the stream
    track: int  # its stream's index in the file
    packet: av.Packet[Any] | None
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a file has been read of which the frames are not wanted."""

    time_s: float  # of the stream, at which a frame is decoded


Piece = AudioFrame | Subtitle
Item = SourceInfo | Frame | AudioFrame | Subtitle


class MediaSource(Protocol):
    """Frames and audio in the order in which they arrive."""

    name: str  # for people; holds no secret
    live: bool = False  # it cannot wait, and its end is a failure after which it is opened again
    reconnects: int = 0  # how often it has been opened again
    down: bool = False  # it has failed, and is to be opened again
    jumps: int = 0  # how often its time stamps jumped and what followed was joined
    moved: int = 0  # frames and packets whose stamps could not be kept: they repeat or stand alone

    def place(self) -> dict[str, Any] | None:
        """Returns, of the frame that was given last, what another reading of the source needs to
        go on with it, in plain values; None: such a reading begins at the start."""
        return None

    def begin_before(self, time_s: Fraction) -> None:
        """Makes ``items`` begin with a frame before that time, as near as it can; ``restore``
        follows. Raises InputError where it has no ``place``."""
        raise InputError(f"input {self.name}: it can be read from its start alone")

    def restore(self, place: Mapping[str, Any]) -> bool:
        """Goes on from the ``place`` of another reading, once the same frame has been given;
        returns False where it cannot."""
        return False

    def items(self, stop: threading.Event) -> Iterator[Item]:
        """Opens the source and yields its items, SourceInfo before the first frame of each opening.

        Returns at the end of a file or soon after ``stop`` is set, everything closed. Raises
        InputError or SourceError where the source cannot be read and will not be tried again.
        """


class PacketSizes:
    """How many bytes each frame was coded in: a decoder gives them later, and in another order."""

    def __init__(self) -> None:
        self._bytes: dict[int | None, int] = {}  # by pts, of what was not decoded yet

    def note(self, packet: av.Packet[av.VideoStream]) -> None:
        """Takes a packet that is decoded next."""
        if len(self._bytes) == MOST_DELAYED:
            del self._bytes[next(iter(self._bytes))]  # nothing came of it
        self._bytes[packet.pts] = packet.size

    def of(self, image: av.VideoFrame) -> int:
        """Returns the bytes of a frame that was decoded; 0 where they are not known."""
        return self._bytes.pop(image.pts, 0)


def stream_info(
    video: av.VideoStream,
    audio: av.AudioStream | None,
    image: av.VideoFrame,
    orientation: Orientation,
    carried: Carried | None = None,
) -> SourceInfo:
    """Describes an open stream by its container, and its first image and that one's orientation."""
    width, height = image.width, image.height
    aspect = video.sample_aspect_ratio or Fraction(1)
    if orientation.exchanged:
        width, height, aspect = height, width, 1 / aspect
    rate = nominal_rate(video)
    duration = getattr(video.container, "duration", None)  # in av.time_base
    estimated = round(duration / av.time_base * rate) if duration else None
    return SourceInfo(
        width=width,
        height=height,
        rate=rate,
        sample_aspect=aspect,
        codec=video.codec_context.name,
        pixel_format=image.format.name,
        frames=video.frames or estimated,
        audio=lasting(audio) if audio is not None else None,
        audio_codec=codec_of(audio) if audio is not None else "",
        carried=carried,
    )


def nominal_rate(video: av.VideoStream) -> Fraction:
    """Returns the frames a second that the stream states, where that is plausible.

    FFmpeg takes a camera without timing in its SPS for one of 90,000 a second, its time base.
    """
    for rate in (video.average_rate, video.codec_context.framerate, video.guessed_rate):
        if rate is not None and 1 <= rate <= 240:
            return rate
    return DEFAULT_RATE
