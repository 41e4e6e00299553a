"""A recording: one MP4 file after another, old ones removed, and a pause while there is no room.

Every picture is in exactly one file, and audio in the file of the picture it belongs to. A file
gets its name once there is something in it that plays. It never writes over a file, and never
removes one that is not this stream's (``retention``).
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic

import av

from streamsr.core.events import Code
from streamsr.core.packet import AUDIO_TRACKS, Packet
from streamsr.core.status import OutputState
from streamsr.ipc.messages import OutputFormat
from streamsr.media.container import CONTAINERS, cut_to_whole
from streamsr.outputs.mux_session import MuxSession, MuxTarget
from streamsr.outputs.retention import Clock, Recording, due, name_of, recording_of, to_remove

__all__ = ["Recorder"]

PARTIAL = ".partial"  # the ending of a file's name until it plays
CHECK_S = 5.0  # between looks at room and age
CHECK_FULL_S = 1.0  # likewise while there is no room
MARGIN_BYTES = 8_000_000  # that must be free on top before recording goes on
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
LATE_S = 0.5  # that audio of the last file may come after the picture of the next


class Recorder:
    """Writes one stream into files of ``segment_s`` each.

    ``tell`` is told of a full disk and of its end. Raises av.FFmpegError or OSError where a file
    cannot be written for another reason than want of room.
    """

    def __init__(
        self,
        stream: str,
        folder: Path,
        segment_s: float,
        tell: Callable[[Code, str], None],
        *,
        keep_s: float | None = None,
        min_free_bytes: int = 0,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic_s: Callable[[], float] = monotonic,
    ) -> None:
        self.full = False  # nothing is recorded until there is room
        self._stream = stream
        self._folder = folder
        self._segment_s = segment_s
        self._tell = tell
        self._keep_s = keep_s
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes
        self._now = now
        self._monotonic_s = monotonic_s
        self._clock = Clock.first_seen(now(), monotonic_s())
        self._session: MuxSession | None = None
        self._before: MuxSession | None = None  # the last file, while audio for it may come
        self._newest = ""  # the name of the newest file, which is never removed
        self._header_bytes = -1  # of the newest file while it is hidden
        self._check_at = 0.0  # monotonic

    @property
    def state(self) -> OutputState:
        """UP while a file is being written, DOWN while there is no room."""
        if self.full:
            return OutputState.DOWN
        return OutputState.STARTING if self._session is None else OutputState.UP

    def write(self, packet: Packet, stream: OutputFormat) -> None:
        """Write a packet of a stream that has ``audio`` now, or has not."""
        if self.full:
            return
        try:
            if packet.track in AUDIO_TRACKS:
                self._write_audio(packet)
            else:
                self._write_picture(packet, stream)
        except (av.FFmpegError, OSError) as error:
            self._bear(error)

    def check(self) -> None:
        """Look after age and room, when it is time to. To be called every second or so."""
        if self._monotonic_s() < self._check_at:
            return
        self._check_at = self._monotonic_s() + (CHECK_FULL_S if self.full else CHECK_S)
        wanted = self._min_free_bytes
        if self.full and wanted:
            wanted += MARGIN_BYTES
        self._remove(wanted)
        free = self._free_bytes(self._folder)
        if self.full:
            if free >= self._min_free_bytes + MARGIN_BYTES:
                self.full = False
                self._tell(Code.OUT_UP, f"record {self._folder}: there is room again; going on")
        elif free < self._min_free_bytes:
            self._pause(f"{free / 1e9:.2f} GB are free, {self._min_free_bytes / 1e9:g} to be kept")

    def close(self) -> None:
        """Finish the file. Closing twice does nothing."""
        sessions, self._before, self._session = (self._before, self._session), None, None
        failure: Exception | None = None
        for session in sessions:
            if session is not None:
                try:
                    session.close()
                except (av.FFmpegError, OSError) as error:
                    failure = error
        if failure is not None:
            self._bear(failure)
        else:
            self._reveal(whole=True)

    def _mend(self, name: str) -> None:
        """Make a file play to its end that could not be written to its end."""
        with suppress(OSError):
            cut_to_whole(self._folder / name)

    def abandon(self) -> None:
        """Close what can be closed: a file in fragments plays without its end."""
        with suppress(av.FFmpegError, OSError):
            self.close()
        if self._header_bytes >= 0:  # there was nothing in it yet
            self._header_bytes = -1
            self._hidden.unlink(missing_ok=True)

    def _write_picture(self, packet: Packet, stream: OutputFormat) -> None:
        time_s = packet.pts * packet.time_base
        session = self._session
        if packet.keyframe and (
            session is None
            or due(float(session.begins_s), float(time_s), self._segment_s)
            or not session.takes(packet, stream)
        ):
            self._split(packet, stream)
        if self._session is None:
            return
        self._session.write(packet)
        self._reveal()
        if self._before is not None and time_s - self._session.begins_s > LATE_S:
            self._close_before()

    def _write_audio(self, packet: Packet) -> None:
        if self._session is None:
            return
        if packet.pts * packet.time_base >= self._session.begins_s:
            self._close_before()
            self._session.write(packet)
        elif self._before is not None:
            self._before.write(packet)

    def _split(self, keyframe: Packet, stream: OutputFormat) -> None:
        self._close_before()
        self._reveal(whole=True)
        self._before, self._session = self._session, None
        if self._before is not None and not self._before.audio:
            self._close_before()
        if not self._newest:
            self._tidy()
        self._newest = self._free_name()
        self._check_at = 0.0
        try:
            target = MuxTarget(str(self._hidden), "mp4", CONTAINERS[".mp4"])
            self._session = MuxSession(target, keyframe, stream)
            self._header_bytes = self._hidden.stat().st_size
        except (av.FFmpegError, OSError):
            self._hidden.unlink(missing_ok=True)
            raise

    @property
    def _hidden(self) -> Path:
        """The newest file before it has its name: killed in its first moments it must not be one
        of the recordings, as there is nothing in it."""
        return self._folder / f".{self._newest}{PARTIAL}"

    def _reveal(self, *, whole: bool = False) -> None:
        """Give the newest file its name, once a fragment of it is written, or it is ``whole``."""
        if self._header_bytes < 0:
            return
        if whole or self._hidden.stat().st_size > self._header_bytes:
            self._hidden.rename(self._folder / self._newest)
            self._header_bytes = -1

    def _tidy(self) -> None:
        """Put what a recorder that was killed has left in order."""
        for last in sorted(self._recordings())[-1:]:
            self._mend(last.name)
        for path in self._folder.glob(f".*{PARTIAL}"):
            if recording_of(self._stream, path.name[1:].removesuffix(PARTIAL)) is not None:
                path.unlink(missing_ok=True)

    def _close_before(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            before.close()

    def _free_name(self) -> str:
        """A name that nothing has."""
        started = self._now()
        names = (name_of(self._stream, started, number) for number in count(1))
        return next(name for name in names if not (self._folder / name).exists())

    def _remove(self, wanted_bytes: int) -> None:
        free = self._free_bytes(self._folder)
        self._clock = self._clock.seen(self._now(), self._monotonic_s())
        keep_s = self._keep_s if self._clock.steady else None
        if free >= wanted_bytes and keep_s is None:
            return
        for recording in to_remove(
            self._recordings(),
            self._clock.wall,
            keep_s=keep_s,
            free_bytes=free,
            wanted_bytes=wanted_bytes,
        ):
            with suppress(OSError):  # it counts as room that is not there
                (self._folder / recording.name).unlink()

    def _recordings(self) -> list[Recording]:
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name == self._newest or not entry.is_file(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError):
                    size = entry.stat(follow_symlinks=False).st_blocks * 512
                    recording = recording_of(self._stream, entry.name, size)
                    if recording is not None:
                        found.append(recording)
        return found

    def _bear(self, error: Exception) -> None:
        """Pause where there is no room; whatever else went wrong is for the owner."""
        if getattr(error, "errno", None) not in NO_ROOM:
            raise error
        self._pause("the disk is full")

    def _pause(self, reason: str) -> None:
        """Stop recording until there is room."""
        if not self.full:
            self.full = True
            self._check_at = self._monotonic_s() + CHECK_FULL_S
            self._tell(Code.REC_FULL, f"record {self._folder}: {reason}; waiting for room")
        self.abandon()
        self._mend(self._newest)
