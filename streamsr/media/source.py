"""What a source is: where pictures and audio come from, file or live, behind one face."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import av

from streamsr.core.frame import Frame

__all__ = ["AudioFrame", "Item", "Source", "SourceInfo"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source turned out to be, once it is open. Sizes are of the upright picture."""

    width: int  # pixels
    height: int
    rate: Fraction  # nominal pictures a second
    sample_aspect: Fraction  # width / height of a pixel
    codec: str  # FFmpeg's name, or "png"
    pixel_format: str
    frames: int | None = None  # in the whole of it, where known
    audio: av.AudioStream | None = None  # as AudioFrame packets have it; outlives the source
    audio_codec: str = ""
    names: tuple[str, ...] = ()  # of the files, for a folder of images

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """A piece of audio, as it came: an encoded packet, or samples where there is no codec."""

    time_s: float  # of its first sample, in seconds of the stream
    codec: str  # FFmpeg's name
    packet: av.Packet[av.AudioStream] | None = None
    samples: av.AudioFrame | None = None
    # What decoded() gives, once it was asked. Its decoder is the stream's, and has a memory: fed
    # the same packet twice, it gives noise.
    _decoded: list[tuple[av.AudioFrame, ...]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def decoded(self) -> tuple[av.AudioFrame, ...]:
        """The samples, decoded once for all who ask; none where the packet is damaged.

        They have no pts, their time is ``time_s``, and nobody may change them. All who ask are of
        one thread, and ask in the order of the stream.
        """
        if not self._decoded:
            self._decoded.append(tuple(self._decode()))
        return self._decoded[0]

    def _decode(self) -> list[av.AudioFrame]:
        frames = [self.samples] if self.samples is not None else []
        if self.packet is not None:
            try:
                frames = self.packet.decode()
            except av.FFmpegError:
                return []
        for frame in frames:
            frame.pts = None  # a resampler would follow it
        return frames


Item = SourceInfo | Frame | AudioFrame


class Source(Protocol):
    """Pictures and audio in the order in which they arrive."""

    live: bool  # it cannot be asked to wait, and its end is a failure to be mended
    name: str  # for people; holds no secret
    reconnects: int  # how often it has been opened again
    down: bool  # it has failed, and is being tried again

    def items(self, stop: threading.Event) -> Iterator[Item]:
        """Open the source and give what it holds, a SourceInfo before each opening's first frame.

        Returns at the end of a file or soon after ``stop`` is set, everything closed. Raises
        InputError or SourceError where the source cannot be read and will not be tried again.
        """
