"""Writing a file: packets of video and all that its source carries into a container.

MP4 is written in fragments and turned into a plain file when it is closed: killed at any moment
it still plays, up to its last whole GOP.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import av

from streamsr.core.errors import OutputError
from streamsr.core.packet import Packet, Track
from streamsr.media.addresses import (
    check_writable,
    container_suffix,
    ffmpeg_name,
    is_pipe_output,
)
from streamsr.media.container import Container, reason_of
from streamsr.media.pipes import PipeWriter
from streamsr.media.source import AudioFrame, Piece, SourceInfo
from streamsr.media.tracks.carried import Carried, TrackInfo
from streamsr.media.tracks.formats import FORMATS
from streamsr.media.tracks.mp4_tracks import TrackFix, fix_tracks, lengthen_track
from streamsr.media.tracks.steady_audio import SteadyWriter, steady_writer
from streamsr.media.tracks.writers import EncodedAudio, TrackWriter, audio_writer, subtitle_writer

if TYPE_CHECKING:
    from av.container.core import Chapter

__all__ = ["FileWriter"]

LATE_S = 2  # that a live source's audio may come after its frame before there is silence


class FileWriter:
    """One output file: a packet sink of ``streamsr.pipeline.delivery``, for the upscaled rendition.

    Every method raises OutputError where the file cannot be written.
    """

    tracks = frozenset({Track.OUTPUT})
    keeps_all = True

    def __init__(
        self,
        path: Path,
        stop: threading.Event | None = None,
        most_s: float | None = None,
        *,
        steady: bool = False,
        suffix: str | None = None,
    ) -> None:
        """``stop`` and ``most_s`` are those of ``PipeWriter``, where it is a pipe. ``steady``: the
        audio is a live source's, and silent where it is missing. ``suffix``: of the container,
        where the file has another name as yet."""
        if suffix is None:
            check_writable(path)
        self.path = path
        self._suffix = suffix or container_suffix(path)
        self._stop, self._most_s = stop or threading.Event(), most_s
        self.not_kept: list[str] = []  # of what the source carries, for people
        self._left_out: list[str] = []  # of it, by the source
        self._container: Container | None = None
        self._chapters: Sequence[Chapter] = ()  # of the source
        self._writers: dict[int, TrackWriter] = {}  # by the track's index in the source
        self._names: dict[int, str] = {}  # likewise
        self._is_steady = steady
        self._steady: SteadyWriter | None = None  # one of them

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        """Writes a frame; the first one, a keyframe, opens the file."""
        if self._container is None:
            self._open(packet, info, size)
        assert self._container is not None  # just opened
        with self._errors():
            self._container.video(packet, packet.pts)
            if self._steady is not None:
                self._steady.be_silent(packet.pts * packet.time_base - LATE_S)

    def audio(self, audio: AudioFrame) -> None:
        """Writes a piece of the audio that is heard; without an audio track it is left out."""
        self.other(audio)

    def other(self, piece: Piece) -> None:
        """Writes a piece of any track."""
        writer = self._writers.get(piece.track)
        if writer is not None:
            with self._errors():
                writer.write(piece)

    def close(self) -> None:
        """Finishes the file. Closing twice does nothing."""
        container, self._container = self._container, None
        if container is None:
            return
        writers, self._writers = self._writers, {}
        with self._errors():
            try:
                self._finish(container, writers)
                if not is_pipe_output(self.path):
                    container.divide(self._chapters, container.end_s)
            finally:
                container.close()
            if not is_pipe_output(self.path) and FORMATS[self._suffix].is_iso:
                lengthen_track(self.path, container.video_index, container.end_s)
            if container.fixes:
                count = max(container.fixes) + 1
                fixes = [container.fixes.get(n, TrackFix.NOTHING) for n in range(count)]
                fix_tracks(self.path, fixes)
        self.not_kept += self._left_out
        if container.cut:
            self.not_kept.append("the end of it, which the pipe's reader had not taken")
        for track, writer in writers.items():
            if writer.lost:
                self.not_kept.append(f"{self._names[track]}: {writer.lost}")

    def _finish(self, container: Container, writers: dict[int, TrackWriter]) -> None:
        """Writes what tracks hold back, texts last."""
        if self._steady is not None:
            self._steady.be_silent(container.end_s)
        texts = [w for w in writers.values() if w.stream.type == "subtitle"]
        for writer in [w for w in writers.values() if w not in texts]:
            writer.finish()
        container.release()
        for writer in texts:
            writer.finish()

    def _open(self, keyframe: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        with self._errors():
            try:
                self._container = self._opened(self._suffix, info)
                self._add_tracks(self._container, keyframe, info, size)
                self._container.begin()
            except (av.FFmpegError, OSError):
                self._discard()
                raise

    def _opened(self, suffix: str, info: SourceInfo) -> Container:
        options = dict(FORMATS[suffix].options)
        if info.carried is not None and any(
            track.stream.type == "subtitle" for track in info.carried.tracks
        ):  # FFmpeg ends a fragment with a text, and moves the frame after it: keyframes do it then
            options.pop("frag_duration", None)
        if is_pipe_output(self.path):
            return Container(
                PipeWriter.open(self.path, self._stop, self._most_s), options, "matroska"
            )
        return Container(ffmpeg_name(str(self.path)), options, FORMATS[suffix].name)

    def _add_tracks(
        self, container: Container, keyframe: Packet, info: SourceInfo, size: tuple[int, int]
    ) -> None:
        """Adds what the source has, each track in its place."""
        carried, suffix = info.carried, self._suffix
        video_facts = keyframe, info.rate, size
        if keyframe.codec == "vp9" and (aspect := info.aspect_of(*size)) != 1:
            self.not_kept.append(f"the shape of pixels, {aspect}: {suffix} shows them as squares")
        if carried is None:
            container.add_video(*video_facts)
            if info.audio_codec and self._is_steady:
                self._steady = steady_writer(container, info.audio, suffix)
                self._add(0, "audio", self._steady)
            elif info.audio is not None:
                self._add(0, "audio", audio_writer(container, info.audio, suffix))
            elif info.audio_codec:
                self._add(0, "audio", EncodedAudio(container, FORMATS[suffix].encoded))
            return
        for track in carried.tracks[: carried.before]:
            self._add_track(container, track, suffix)
        video = container.add_video(*video_facts)
        container.mark(video, carried.video_tags, carried.video_disposition)
        for track in carried.tracks[carried.before :]:
            self._add_track(container, track, suffix)
        self._describe(container, carried)

    def _add_track(self, container: Container, track: TrackInfo, suffix: str) -> None:
        if isinstance(track.stream, av.AudioStream):
            writer: TrackWriter | None = audio_writer(container, track.stream, suffix)
        else:
            writer = subtitle_writer(container, track, suffix)
        if writer is None:
            self.not_kept.append(f"{track.name}: {suffix} cannot hold it")
            return
        container.mark(writer.stream, track.tags, track.disposition)
        self._add(track.index, track.name, writer)

    def _add(self, index: int, name: str, writer: TrackWriter) -> None:
        self._writers[index], self._names[index] = writer, name

    def _describe(self, container: Container, carried: Carried) -> None:
        container.describe(carried.tags)
        self._chapters, self._left_out = carried.chapters, carried.left_out
        if is_pipe_output(self.path):  # whose trailer has no place for them
            container.divide(carried.chapters)
        if carried.chapters and not FORMATS[self._suffix].has_chapters:
            self._chapters = ()
            self.not_kept.append(f"chapters: {self._suffix} cannot hold them")
        for attachment in carried.attachments:
            if not container.attach(attachment):
                self.not_kept.append(f"the attachment {attachment.name}: no place for it")

    def _discard(self) -> None:
        """Removes a file whose header could not be written."""
        container, self._container = self._container, None
        with suppress(av.FFmpegError, OSError):
            if container is not None:
                container.close()
        if not is_pipe_output(self.path):
            self.path.unlink(missing_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns a library's error into an OutputError that names the file."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            reason = reason_of(error)
            raise OutputError(f"output {self.path}: cannot be written: {reason}") from None
