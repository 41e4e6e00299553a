"""A folder of numbered images as a source, a file's audio under it where that is named."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av

from streamsr.core.errors import InputError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.media.addresses import image_kind
from streamsr.media.container import reason_of
from streamsr.media.images import image_frames
from streamsr.media.source import (
    DEFAULT_RATE,
    AudioFrame,
    Item,
    MediaSource,
    Reached,
    SourceInfo,
)
from streamsr.media.tracks.carried import audio_of, codec_of, lasting
from streamsr.sources.containers import demuxed, opened
from streamsr.sources.image_headers import ImageHeader, checked_images
from streamsr.sources.timing.stamps import PacketTimes, PiecePlaces
from streamsr.sources.timing.timeline import Jump

__all__ = ["FolderSource"]

T = TypeVar("T", Frame, Reached)

CODECS = {"PNG": "png", "JPEG": "mjpeg", "WebP": "webp", "TIFF": "tiff"}


class FolderSource(MediaSource):
    """A folder of images of one kind. All their headers are read before the first one is."""

    def __init__(
        self,
        folder: Path,
        rate: Fraction = DEFAULT_RATE,
        audio_from: Path | None = None,
        *,
        emit: Emit,
        deep: bool = False,
    ) -> None:
        """``audio_from``: a file whose audio goes under the frames, from its first frame on.

        ``deep``: images of 16 bits keep them.
        """
        self.folder = folder
        self.name = str(folder)
        self.rate = rate
        self._audio_from = audio_from
        self._emit = emit
        self._deep = deep
        self._begin = 0  # number of the first image that is given

    def place(self) -> dict[str, Any] | None:
        return {} if self._audio_from is None else None

    def begin_before(self, time_s: Fraction) -> None:
        self._begin = max(0, int(time_s * self.rate))

    def restore(self, place: Mapping[str, Any]) -> bool:
        return True

    def items(self, stop: threading.Event) -> Iterator[Item]:
        images = checked_images(self.folder)
        frames = image_frames(self.folder, self.rate, deep=self._deep, begin=self._begin)
        yield from self._with_audio(images, frames, stop)

    def carried(self, stop: threading.Event) -> Iterator[SourceInfo | AudioFrame | Reached]:
        """Yields what ``items`` does but for the frames, in their place how far it has come. Raises
        InputError as ``items`` does."""
        images = checked_images(self.folder)
        moments = (Reached(float(number / self.rate)) for number in range(len(images)))
        yield from self._with_audio(images, moments, stop)

    def _with_audio(
        self, images: list[tuple[str, ImageHeader]], moments: Iterator[T], stop: threading.Event
    ) -> Iterator[SourceInfo | AudioFrame | T]:
        with ExitStack() as stack:
            audio: _Audio | None = None
            if self._audio_from is not None:
                container = stack.enter_context(opened(str(self._audio_from), stop))
                audio = _Audio(container, self._audio_from, self._tell_of)
            info = self._info(images)
            yield info if audio is None else replace(info, **audio.described)
            for moment in moments:
                if stop.is_set():
                    return
                if audio is not None:
                    yield from audio.until(moment.time_s)
                yield moment
            if audio is not None:
                yield from audio.until(None)

    def _tell_of(self, jump: Jump) -> None:
        self.jumps += not jump.kept
        self._emit(Event(Code.SRC_TIME, self.name, f"{self._audio_from}: {jump.told}"))

    def _info(self, images: list[tuple[str, ImageHeader]]) -> SourceInfo:
        first_name, first = images[0]
        deep = any(header.bits == 16 for _, header in images)
        alpha = any(header.alpha for _, header in images)
        grey = all(header.grey for _, header in images) and not alpha
        plain = "gray" if grey else "rgba" if alpha else "rgb24"
        return SourceInfo(
            width=first.width,
            height=first.height,
            rate=self.rate,
            sample_aspect=Fraction(1),
            codec=CODECS[image_kind(self.folder / first_name) or "PNG"],
            pixel_format={"gray": "gray16", "rgba": "rgba64", "rgb24": "rgb48"}[plain]
            if deep
            else plain,
            frames=len(images),
            names=tuple(name for name, _ in images),
        )


class _Audio:
    """The audio of a file that a player would take, piece by piece.

    Its video is read beside it, where it has one: joined recordings are joined as theirs are.
    """

    def __init__(
        self, container: av.container.InputContainer, path: Path, tell: Callable[[Jump], None]
    ) -> None:
        """Raises InputError where there is none that can be decoded."""
        stream = audio_of(container)
        if stream is None:
            raise InputError(f"audio {path}: there is no audio in it that can be decoded")
        self._tell = tell  # of a jump of its time stamps
        self._path = path
        self._stream = stream
        self._lasting = lasting(stream)  # as it is described: no packet has been decoded
        self._times = PacketTimes(container, None, _start_s(container))
        self._places = PiecePlaces(self._lasting)
        films = [s for s in container.streams.video if s.codec_context is not None]
        self._packets = self._times.steadied(demuxed(container, [stream, *films]))
        self._next: AudioFrame | None = None

    @property
    def described(self) -> dict[str, Any]:
        """What of a ``SourceInfo`` it is."""
        return {"audio": self._lasting, "audio_codec": codec_of(self._stream)}

    def until(self, time_s: float | None) -> Iterator[AudioFrame]:
        """Yields the pieces up to a time; None: all that are left."""
        while (piece := self._next or self._read()) is not None:
            self._next = piece
            if time_s is not None and piece.time_s > time_s:
                return
            self._next = None
            yield piece

    def _read(self) -> AudioFrame | None:
        try:
            for packet in self._packets:
                jump = self._times.place(packet).jump
                if jump is not None:
                    self._tell(jump)
                if packet.stream is self._stream and packet.size:
                    place_s = float(self._places.begin_s(packet))
                    packet.stream = self._lasting
                    return AudioFrame(place_s, codec_of(self._stream), packet)
        except av.FFmpegError as error:
            raise InputError(f"audio {self._path}: it is damaged: {reason_of(error)}") from None
        return None


def _start_s(container: av.container.InputContainer) -> Fraction:
    """When a file's first frame is shown, or its audio begins where there is no video."""
    for video in container.streams.video:
        if video.start_time is not None and video.time_base is not None:
            return video.start_time * video.time_base
    return Fraction(container.start_time or 0, av.time_base)
