"""Writing a file: H.264 packets and the source's audio into a container.

MP4 is written in fragments and turned into a plain file when it is closed: killed at any moment
it still plays, up to its last whole GOP.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av

from streamsr.core.errors import OutputError
from streamsr.core.packet import Packet, Track
from streamsr.media.addresses import (
    check_writable,
    container_suffix,
    ffmpeg_name,
    is_pipe_output,
)
from streamsr.media.audio import AudioEncoder
from streamsr.media.container import CONTAINERS, Container, reason_of
from streamsr.media.pipes import PipeWriter
from streamsr.media.source import AudioFrame, SourceInfo

__all__ = ["FileWriter"]

COPIED = {
    ".mp4": {"aac", "mp3", "alac", "opus"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "flac", "opus", "vorbis", "pcm_s16le"},
}
"""Codecs that players take in that container; other audio becomes AAC."""
HEADED = {"aac", "alac", "flac", "opus", "vorbis"}
"""Codecs whose header the container wants first. AAC in a transport stream, for one, has none."""


class FileWriter:
    """One output file: a packet sink of ``streamsr.pipeline.delivery``, for the upscaled rendition.

    Every method raises OutputError where the file cannot be written.
    """

    tracks = frozenset({Track.OUTPUT})

    def __init__(self, path: Path) -> None:
        check_writable(path)
        self.path = path
        self._container: Container | None = None
        self._encoder: AudioEncoder | None = None  # where audio is not copied
        self._copied = ""  # the codec of audio that is copied
        self._audio_pts = -1  # of the newest copied packet

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        """Writes a frame; the first one, a keyframe, opens the file."""
        if self._container is None:
            self._open(packet, info)
        assert self._container is not None
        with self._errors():
            self._container.video(packet, packet.pts)

    def audio(self, audio: AudioFrame) -> None:
        """Writes a piece of audio; without an audio track it is left out."""
        if self._container is None:
            return
        if self._encoder is not None:
            self._mux_encoded(self._encoder.encode(audio))
            return
        packet = audio.packet
        if packet is None or packet.time_base is None or audio.codec != self._copied:
            return  # no audio is copied, or another camera came back
        pts = round(audio.time_s / packet.time_base)
        if pts <= self._audio_pts:
            return  # an encoder's priming before 0, or a source that repeats itself
        self._audio_pts = pts
        self._mux_audio(packet, pts)

    def close(self) -> None:
        """Finishes the file. Closing twice does nothing."""
        container = self._container
        if container is None:
            return
        try:
            if self._encoder is not None:
                self._mux_encoded(self._encoder.flush())
        finally:
            self._container = None
            with self._errors():
                container.close()

    def _open(self, keyframe: Packet, info: SourceInfo) -> None:
        suffix = container_suffix(self.path)
        with self._errors():
            try:
                self._container = self._opened(suffix)
                self._container.add_video(keyframe, info.rate)
                if info.audio is not None and _is_copied(info.audio, suffix):
                    self._container.add_audio(info.audio)
                    self._copied = info.audio_codec
                elif info.audio_codec:
                    self._container.add_audio()
                    self._encoder = AudioEncoder("aac")
            except (av.FFmpegError, OSError):
                self._discard()
                raise

    def _opened(self, suffix: str) -> Container:
        if is_pipe_output(self.path):
            return Container(PipeWriter.open(self.path), CONTAINERS[suffix], "matroska")
        return Container(ffmpeg_name(str(self.path)), CONTAINERS[suffix])

    def _discard(self) -> None:
        """Removes a file whose header could not be written."""
        container, self._container = self._container, None
        with suppress(av.FFmpegError, OSError):
            if container is not None:
                container.close()
        if not is_pipe_output(self.path):
            self.path.unlink(missing_ok=True)

    def _mux_encoded(self, packets: Iterable[av.Packet[Any]]) -> None:
        for packet in packets:
            if packet.pts is not None and packet.pts >= 0:  # priming would shift the video
                self._mux_audio(packet, packet.pts)

    def _mux_audio(self, packet: av.Packet[Any], pts: int) -> None:
        assert self._container is not None
        with self._errors():
            self._container.audio(bytes(packet), pts, packet.time_base, packet.duration)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns a library's error into an OutputError that names the file."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            reason = reason_of(error)
            raise OutputError(f"output {self.path}: cannot be written: {reason}") from None


def _is_copied(audio: av.AudioStream, suffix: str) -> bool:
    codec = audio.codec_context
    if codec.name in HEADED and not codec.extradata:
        return False
    return codec.name in COPIED[suffix]
