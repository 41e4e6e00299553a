"""Both streams of a camera at once, decoded and kept without losses, until a limit is reached.

A stream that is lost is opened again, as anywhere. Frames wait in a bounded queue for the encoder;
where it is full they are dropped and counted.
"""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, Full, Queue
from time import monotonic

from streamsr.core.deadline import STOP_S
from streamsr.core.errors import InputError, OutputError, StreamsrError
from streamsr.core.events import Emit
from streamsr.core.frame import Frame
from streamsr.core.settings import InputSettings
from streamsr.media.addresses import InputKind, input_kind
from streamsr.media.source import MediaSource
from streamsr.sources.opening import open_source
from streamsr.train.teach.lossless import LosslessWriter

__all__ = ["Recorded", "RecordingState", "opened_pair", "record", "recorded_in"]

log = logging.getLogger(__name__)

ROLES = "main", "sub"
QUEUE = 16  # frames
KEPT_GAP_S = 21_600.0  # in a recording: while a stream was lost
DESCRIPTION = "recording.json"
POLL_S = 0.1
GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """Two files of the same scene."""

    main: InputSettings
    sub: InputSettings
    lag_s: float | None  # of the main stream's first frame, by the clock; None: nobody knows


@dataclass
class RecordingState:
    """How far a recording has come; written beside it."""

    names: Mapping[str, str]  # of the streams, without secrets
    frames: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    reconnects: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    first: dict[str, float] = field(default_factory=dict)  # monotonic: when it arrived
    size_bytes: int = 0
    seconds: float = 0.0
    ended: str = ""  # why, where it was before its time


def opened_pair(main: InputSettings, sub: InputSettings) -> bool:
    """Returns whether both are live; False: both are files. Raises InputError for others."""
    kinds = [input_kind(settings.url, settings.live) for settings in (main, sub)]
    if kinds == [InputKind.LIVE] * 2:
        return True
    if kinds == [InputKind.FILE] * 2:
        return False
    got = " and ".join(kind.value for kind in kinds)
    raise InputError(f"--main, --sub: got {got}, allowed are two live addresses, or two files")


def recorded_in(folder: Path) -> Recorded:
    """Returns what ``record`` has left in a folder. Raises InputError where that is not whole."""
    files = {role: folder / f"{role}.mkv" for role in ROLES}
    for path in files.values():
        if not path.is_file():
            raise InputError(
                f"--pairs {folder}: there is no {path.name}, allowed is a folder that `teach` has "
                "recorded into"
            )
    lag_s = None
    with suppress(OSError, ValueError, KeyError, TypeError):  # killed before it was written
        first = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["first"]
        lag_s = float(first["sub"]) - float(first["main"])
    main, sub = (
        InputSettings(url=str(path), max_gap_s=KEPT_GAP_S, deinterlace="off")
        for path in files.values()
    )
    return Recorded(main, sub, lag_s)


def record(
    inputs: Sequence[InputSettings],
    folder: Path,
    *,
    seconds: float,
    most_bytes: int,
    emit: Emit,
    report: Callable[[RecordingState], None] = lambda recording: None,
) -> RecordingState:
    """Records the main and the sub-stream into ``folder`` for so long, from when both have come.

    Ends sooner where the disk's limit is reached. What there is of both stays, also at an
    interrupt; the folder is made when both have come. Raises SourceError where one of them never
    comes, OutputError where nothing can be written, and whatever else a source fails with.
    """
    if folder.exists():
        raise _recorded_already(folder)
    sources = [open_source(settings, emit) for settings in inputs]
    recording = RecordingState(dict(zip(ROLES, (source.name for source in sources), strict=True)))
    tracks = [
        _Track(role, source, folder / f"{role}.mkv", recording)
        for role, source in zip(ROLES, sources, strict=True)
    ]
    try:
        for track in tracks:
            track.start()
        _until_done(tracks, recording, seconds, most_bytes, folder, report)
    finally:
        for track in tracks:
            track.stop.set()
        end = monotonic() + STOP_S
        for track in tracks:
            track.join(end - monotonic())
        _finish(recording, tracks, folder)
    return recording


def _recorded_already(folder: Path) -> OutputError:
    return OutputError(
        f"{folder}: there is a recording already; go on with it by --pairs {folder}, or give "
        "another --name"
    )


def _begin(tracks: Sequence["_Track"], folder: Path) -> None:
    """Makes the folder, into which all tracks are written from now on. Raises OutputError."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise _recorded_already(folder) from None
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from None
    for track in tracks:
        track.kept.set()


def _finish(recording: RecordingState, tracks: Sequence["_Track"], folder: Path) -> None:
    """Describes a recording; removes the folder where one of the streams is not in it."""
    if min(recording.frames.values()):
        _describe(recording, folder)
    elif any(track.kept.is_set() for track in tracks):  # it was made here
        shutil.rmtree(folder, ignore_errors=True)


def _until_done(
    tracks: Sequence["_Track"],
    recording: RecordingState,
    seconds: float,
    most_bytes: int,
    folder: Path,
    report: Callable[[RecordingState], None],
) -> None:
    began: float | None = None
    described = False
    while began is None or monotonic() - began < seconds:
        for track in tracks:
            failure = track.ended()
            if failure is not None:
                if not min(recording.frames.values()):
                    raise failure
                recording.ended = str(failure)
                return
        if began is None and all(track.came for track in tracks):
            began = monotonic()
            _begin(tracks, folder)
        if not described and len(recording.first) == len(tracks):
            described = True
            _describe(recording, folder)
        recording.seconds = 0.0 if began is None else monotonic() - began
        recording.size_bytes = sum(track.bytes for track in tracks)
        if recording.size_bytes >= most_bytes:
            recording.ended = f"the limit of {most_bytes / GB:g} GB was reached"
            return
        report(recording)
        tracks[0].stop.wait(POLL_S)


def _describe(recording: RecordingState, folder: Path) -> None:
    text = json.dumps(asdict(recording), indent=1)
    with suppress(OSError):  # the disk is full: what was recorded is there all the same
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


class _Track:
    """One stream on its way into a file: a thread that reads, and one that writes.

    Frames count from when ``kept`` is set; before that ``came`` says that there are some.
    """

    def __init__(
        self, role: str, source: MediaSource, path: Path, recording: RecordingState
    ) -> None:
        self.stop, self.kept = threading.Event(), threading.Event()
        self.came = False
        self.bytes = 0
        self._failure: Exception | None = None
        self._role, self._source, self._recording = role, source, recording
        self._frames: Queue[Frame] = Queue(QUEUE)
        self._path = path
        self._threads = [
            threading.Thread(target=self._read, name=f"streamsr-source-{role}", daemon=True),
            threading.Thread(target=self._write, name=f"recording-{role}", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def ended(self) -> Exception | None:
        """Returns why no more is recorded; None: it goes on."""
        if self._failure is None and not all(thread.is_alive() for thread in self._threads):
            return self._failure or InputError(f"--{self._role}: the stream has ended")
        return self._failure

    def join(self, seconds: float) -> None:
        """Waits until what was read is written; a read that hangs is left behind."""
        for thread in reversed(self._threads):
            thread.join(max(0.0, seconds))

    def _read(self) -> None:
        recording, role = self._recording, self._role
        try:
            for item in self._source.items(self.stop):
                if not isinstance(item, Frame):
                    continue
                self.came = True
                if not self.kept.is_set():
                    continue
                recording.first.setdefault(role, item.arrived)
                recording.reconnects[role] = self._source.reconnects
                try:
                    self._frames.put_nowait(item)
                except Full:
                    recording.dropped[role] += 1
        except Exception as error:  # a thread's own: whoever waits for it is to know
            self._failed(error)

    def _write(self) -> None:
        first_s: float | None = None
        try:
            while not self.kept.wait(POLL_S):
                if self.stop.is_set():
                    return
            with LosslessWriter(self._path) as writer:
                while not (self.stop.is_set() and self._frames.empty()):
                    try:
                        frame = self._frames.get(timeout=POLL_S)
                    except Empty:
                        continue
                    first_s = frame.time_s if first_s is None else first_s
                    written = writer.write(frame, frame.time_s - first_s)
                    self._recording.dropped[self._role] += not written
                    self._recording.frames[self._role] += written
                    self.bytes = writer.bytes
        except Exception as error:  # likewise
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, StreamsrError):
            log.exception("recording of %s failed", self._role)
        self._failure = self._failure or error
