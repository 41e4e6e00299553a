"""A recording: one MP4 file after another, old ones removed, and a pause while there is no space.

Every frame is in exactly one file, and audio in the file of the frame it belongs to. It never
writes over a file, and never removes one that is not this stream's (``retention``).
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import monotonic

import av

from streamsr.core.events import Code
from streamsr.core.packet import AUDIO_TRACKS, Packet
from streamsr.core.status import OutputState
from streamsr.ipc.messages import OutputFormat, StartRecorder
from streamsr.media.recordings import Recording, name_of, recording_of
from streamsr.media.tracks.formats import CONTAINERS
from streamsr.media.tracks.mp4_tracks import cut_to_whole
from streamsr.outputs.mux_session import LATE_AUDIO_S, MuxSession, MuxTarget
from streamsr.outputs.retention import Clock, due, to_remove

__all__ = ["Recorder"]

PARTIAL = ".partial"  # the ending of a file's name until it plays
CHECK_S = 5.0  # between checks of space and age
CHECK_FULL_S = 1.0  # likewise while there is no space
MARGIN_BYTES = 8_000_000  # that must be free on top before recording goes on
MOST_GAP_S = 600.0  # without a frame within a file: a camera that is off for longer ends it
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
FAILURES = (av.FFmpegError, OSError)


class Recorder:
    """Writes one stream into files of the length that ``settings`` say.

    ``tell`` is told of a full disk and of its end. Raises av.FFmpegError or OSError where a file
    cannot be written for another reason than want of space.
    """

    def __init__(
        self,
        settings: StartRecorder,
        tell: Callable[[Code, str], None],
        *,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic_s: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._folder = settings.folder
        self._tell = tell
        self._free_bytes = free_bytes
        self._now = now
        self._monotonic_s = monotonic_s
        self._clock = Clock(now(), monotonic_s())
        self._full = False  # nothing is recorded until there is space
        self._file: _File | None = None  # the one that is being written
        self._previous: _File | None = None  # the one before, while audio for it may come
        self._newest = ""  # the name of the newest file, which is never removed
        self._check_at_s = 0.0  # monotonic

    @property
    def state(self) -> OutputState:
        """UP while a file is being written, DOWN while there is no space."""
        if self._full:
            return OutputState.DOWN
        return OutputState.STARTING if self._file is None else OutputState.UP

    def write(self, packet: Packet, stream: OutputFormat) -> None:
        """Writes a packet of a stream that is as ``stream`` says."""
        if self._full:
            return
        try:
            if packet.track in AUDIO_TRACKS:
                self._write_audio(packet)
            else:
                self._write_video(packet, stream)
        except FAILURES as error:
            self._pause_or_raise(error)

    def check(self) -> None:
        """Checks age and space, when it is time to. To be called every second or so."""
        if self._monotonic_s() < self._check_at_s:
            return
        self._check_at_s = self._monotonic_s() + (CHECK_FULL_S if self._full else CHECK_S)
        wanted = self._settings.min_free_bytes
        if self._full and wanted:
            wanted += MARGIN_BYTES
        self._remove_old(wanted)
        free = self._free_bytes(self._folder)
        if self._full:
            if free >= self._settings.min_free_bytes + MARGIN_BYTES:
                self._full = False
                self._tell(Code.OUT_UP, f"record {self._folder}: there is room again; going on")
        elif free < self._settings.min_free_bytes:
            self._pause(
                f"{free / 1e9:.2f} GB are free, {self._settings.min_free_bytes / 1e9:g} to be kept"
            )

    def close(self) -> None:
        """Finishes the file. Closing twice does nothing."""
        try:
            self._close_files()
        except FAILURES as error:
            self._pause_or_raise(error)

    def abandon(self) -> None:
        """Closes what can be closed: a file in fragments plays without its end."""
        with suppress(*FAILURES):
            self._close_files()

    def _write_video(self, packet: Packet, stream: OutputFormat) -> None:
        time_s = packet.pts * packet.time_base
        file = self._file
        if packet.keyframe and (
            file is None
            or due(float(file.session.begins_s), float(time_s), self._settings.segment_s)
            or not file.session.takes(packet, stream)
        ):
            file = self._next_file(packet, stream)
        if file is None:
            return
        file.session.write(packet)
        file.reveal()
        if time_s - file.session.begins_s > LATE_AUDIO_S:
            self._close_previous()

    def _write_audio(self, packet: Packet) -> None:
        if self._file is None:
            return
        if packet.pts * packet.time_base >= self._file.session.begins_s:
            self._close_previous()
            self._file.session.write(packet)
            if self._file.session.late_audio == 1:
                late = f"audio comes more than {LATE_AUDIO_S} s after its frames: it is left out"
                self._tell(Code.AUDIO_DROPPED, f"record {self._folder}: {late}")
        elif self._previous is not None:
            self._previous.session.write(packet)

    def _next_file(self, keyframe: Packet, stream: OutputFormat) -> "_File":
        self._close_previous()
        self._previous, self._file = self._file, None
        if self._previous is not None:
            self._previous.reveal(whole=True)
            if not self._previous.session.audio:
                self._close_previous()
        if not self._newest:
            self._clean_up()
        came = self._came(keyframe)
        self._newest = self._free_name(_to_the_second(came))
        self._check_at_s = 0.0
        self._file = _File(self._folder / self._newest, keyframe, stream, came)
        return self._file

    def _came(self, packet: Packet) -> datetime:
        """Returns when a packet's frame came in, by the wall clock."""
        ago_s = self._monotonic_s() - packet.arrived if packet.arrived else 0.0
        return self._now() - timedelta(seconds=ago_s)

    def _close_previous(self) -> None:
        previous, self._previous = self._previous, None
        if previous is not None:
            previous.close()

    def _close_files(self) -> None:
        with ExitStack() as files:
            for file in (self._file, self._previous):
                if file is not None:
                    files.callback(file.close)
            self._file = self._previous = None

    def _clean_up(self) -> None:
        """Puts what a recorder that was killed has left in order."""
        for last in sorted(self._recordings())[-1:]:
            with suppress(OSError):
                cut_to_whole(self._folder / last.name)
        for path in self._folder.glob(f".*{PARTIAL}"):
            if recording_of(self._settings.stream, path.name[1:].removesuffix(PARTIAL)) is not None:
                path.unlink(missing_ok=True)

    def _free_name(self, started: datetime) -> str:
        """Returns a name that nothing has."""
        names = (name_of(self._settings.stream, started, number) for number in count(1))
        return next(name for name in names if not (self._folder / name).exists())

    def _remove_old(self, wanted_bytes: int) -> None:
        free = self._free_bytes(self._folder)
        self._clock.read(self._now(), self._monotonic_s())
        keep_s = self._settings.keep_s if self._clock.steady else None
        if free >= wanted_bytes and keep_s is None:
            return
        for recording in to_remove(
            self._recordings(),
            self._clock.wall,
            keep_s=keep_s,
            free_bytes=free,
            wanted_bytes=wanted_bytes,
        ):
            with suppress(OSError):  # it counts as space that is not there
                (self._folder / recording.name).unlink()

    def _recordings(self) -> list[Recording]:
        """Returns this stream's files, but for the newest."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name == self._newest or not entry.is_file(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError):
                    size = entry.stat(follow_symlinks=False).st_blocks * 512
                    recording = recording_of(self._settings.stream, entry.name, size)
                    if recording is not None:
                        found.append(recording)
        return found

    def _pause_or_raise(self, error: av.FFmpegError | OSError) -> None:
        """Pauses where there is no space; whatever else went wrong is for the owner."""
        if error.errno not in NO_ROOM:
            raise error
        self._pause("the disk is full")

    def _pause(self, reason: str) -> None:
        """Stops recording until there is space."""
        if not self._full:
            self._full = True
            self._check_at_s = self._monotonic_s() + CHECK_FULL_S
            self._tell(Code.REC_FULL, f"record {self._folder}: {reason}; waiting for room")
        self.abandon()


class _File:
    """An MP4 file that is being written. It has its name once something in it plays: a recorder
    that is killed in a file's first moments leaves no recording with nothing in it."""

    def __init__(self, path: Path, keyframe: Packet, stream: OutputFormat, came: datetime) -> None:
        """``came``: when its first frame did, UTC."""
        self._came = came
        self._path = path
        self._partial = path.with_name(f".{path.name}{PARTIAL}")
        self._revealed = False
        try:
            target = MuxTarget(
                str(self._partial),
                "mp4",
                CONTAINERS[".mp4"],
                metadata={"creation_time": f"{_to_the_second(came):%Y-%m-%dT%H:%M:%SZ}"},
                most_gap_s=MOST_GAP_S,
                late_audio_s=LATE_AUDIO_S,
            )
            self.session = MuxSession(target, keyframe, stream)
            self._header_bytes = self._partial.stat().st_size
        except FAILURES:
            self._partial.unlink(missing_ok=True)
            raise

    def reveal(self, *, whole: bool = False) -> None:
        """Gives it its name, once a fragment of it is written, or it is ``whole``."""
        if not self._revealed and (whole or self._partial.stat().st_size > self._header_bytes):
            self._partial.rename(self._path)
            self._revealed = True

    def close(self) -> None:
        """Finishes it; one that cannot be finished is cut to what plays, or removed.

        It was modified when its last frame ended, as players that line files up take it.
        """
        try:
            self.session.close()
            self.reveal(whole=True)
            ended_s = self._came.timestamp() + float(self.session.ends_s)
            with suppress(OSError):  # somebody removed it, or the file system keeps no times
                os.utime(self._path, (ended_s, ended_s))
        except FAILURES:
            with suppress(OSError):
                if self._revealed:
                    cut_to_whole(self._path)
                else:
                    self._partial.unlink()
            raise


def _to_the_second(moment: datetime) -> datetime:
    """Returns the nearest whole second: all that a name and ``creation_time`` can state."""
    return (moment + timedelta(seconds=0.5)).replace(microsecond=0)
