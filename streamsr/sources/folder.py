"""A folder of numbered images as a source, a file's audio under it where that is named."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from streamsr.core.errors import InputError
from streamsr.media.addresses import image_kind
from streamsr.media.container import reason_of
from streamsr.media.images import image_frames
from streamsr.media.source import DEFAULT_RATE, AudioFrame, Item, Source, SourceInfo
from streamsr.media.tracks.carried import codec_of, lasting
from streamsr.sources.containers import opened
from streamsr.sources.image_headers import ImageHeader, checked_images

__all__ = ["FolderSource"]

CODECS = {"PNG": "png", "JPEG": "mjpeg", "WebP": "webp", "TIFF": "tiff"}


class FolderSource(Source):
    """A folder of images of one kind. All their headers are read before the first one is."""

    def __init__(
        self,
        folder: Path,
        rate: Fraction = DEFAULT_RATE,
        audio_from: Path | None = None,
        *,
        deep: bool = False,
    ) -> None:
        """``audio_from``: a file whose audio goes under the frames, from its first frame on.

        ``deep``: images of 16 bits keep them.
        """
        self.folder = folder
        self.name = str(folder)
        self.rate = rate
        self._audio_from = audio_from
        self._deep = deep

    def items(self, stop: threading.Event) -> Iterator[Item]:
        images = checked_images(self.folder)
        with ExitStack() as stack:
            audio: _Audio | None = None
            if self._audio_from is not None:
                audio = _Audio(
                    stack.enter_context(opened(str(self._audio_from), stop)), self._audio_from
                )
            info = self._info(images)
            yield info if audio is None else replace(info, **audio.described)
            for frame in image_frames(self.folder, self.rate, deep=self._deep):
                if stop.is_set():
                    return
                if audio is not None:
                    yield from audio.until(frame.time_s)
                yield frame
            if audio is not None:
                yield from audio.until(None)

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
    """The first audio of a file, piece by piece."""

    def __init__(self, container: av.container.InputContainer, path: Path) -> None:
        """Raises InputError where there is none that can be decoded."""
        streams = [s for s in container.streams.audio if s.codec_context is not None]
        if not streams:
            raise InputError(f"audio {path}: there is no audio in it that can be decoded")
        self._stream, self._path = streams[0], path
        self._start_s = _start_s(container)
        self._packets = container.demux(self._stream)
        self._next: AudioFrame | None = None

    @property
    def described(self) -> dict[str, Any]:
        """What of a ``SourceInfo`` it is."""
        return {"audio": lasting(self._stream), "audio_codec": codec_of(self._stream)}

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
                if packet.pts is not None and packet.size:
                    place_s = float(packet.pts * packet.time_base) - self._start_s
                    return AudioFrame(place_s, codec_of(self._stream), packet)
        except av.FFmpegError as error:
            raise InputError(f"audio {self._path}: it is damaged: {reason_of(error)}") from None
        return None


def _start_s(container: av.container.InputContainer) -> float:
    """When a file's first frame is shown, or its audio begins where there is no video."""
    for video in container.streams.video:
        if video.start_time is not None and video.time_base is not None:
            return float(video.start_time * video.time_base)
    return (container.start_time or 0) / av.time_base
