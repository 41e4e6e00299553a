"""A camera's recordings over HTTP: listed by day, played and seeked by ranges, downloaded.

It reads the folder that the recorder writes, at each request; it opens no file but to send it.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest
from pydantic import BeforeValidator, Field

from streamsr.core.config import Settings
from streamsr.media.recordings import Recording, recording_of
from streamsr.serve.access.shares import Shares, asking
from streamsr.serve.api.operations import ApiOperation
from streamsr.serve.api.problems import ProblemError
from streamsr.serve.api.views import CameraName
from streamsr.serve.files import TimedFile, is_plain
from streamsr.serve.served import Served

__all__ = ["RecordingList", "RecordingView", "Recordings"]

SEND_S = 3600.0  # for a file to be sent: players that were paused hold it back
MOST_SENT = 32  # files at a time
GROWS_S = 30.0  # a file that was not written for so long is no longer being recorded

FileName = Annotated[str, Field(min_length=1, max_length=255)]


def _date(text: object) -> object:
    """A date alone: pydantic would take seconds of the epoch, too."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.A):
        raise ValueError("allowed is a date, as in 2026-11-30")
    return text


Day = Annotated[date, BeforeValidator(_date)]


class RecordingView(Settings):
    """One file of a camera's recordings."""

    file: str
    begin: datetime  # UTC, by its name
    seconds: float  # from its beginning to its last frame
    bytes: int
    open: bool  # it is still being recorded


class RecordingList(Settings):
    """A camera's recordings, and the days that there are any of; the newest first."""

    recordings: tuple[RecordingView, ...]
    days: tuple[str, ...]  # UTC


class RecordingQuery(Settings):
    """Which recordings are listed; left out: all."""

    day: Day | None = None  # UTC, on which they begin


class FileQuery(Settings):
    """How a recording is sent."""

    download: Literal["0", "1"] = "0"  # 1: to be saved, and not to be played


class Recordings:
    """The operations on recordings. They are for clients that may view."""

    def __init__(self, streams: Mapping[str, Served]) -> None:
        self._streams = streams
        self._sending = Shares(MOST_SENT)

    def operations(self) -> Sequence[ApiOperation]:
        return [
            ApiOperation("GET", "/cameras/{camera}/recordings", self.list),
            ApiOperation(
                "GET",
                "/cameras/{camera}/recordings/{file}",
                self.file,
                media="video/mp4",
                others={206: "The range that was asked for", 304: "It has not changed"},
            ),
        ]

    async def list(self, camera: CameraName, query: RecordingQuery) -> RecordingList:
        """Lists a camera's recordings, the newest first."""
        served = self._served(camera)
        if served.recordings is None:
            return RecordingList(recordings=(), days=())
        found = await asyncio.to_thread(_recordings_in, served.recordings, camera)
        views = [_view(recording, modified_s) for recording, modified_s in found]
        if views and served.recording() and _age_s(found[0][1]) < GROWS_S:
            views[0] = views[0].model_copy(update={"open": True})
        days = dict.fromkeys(f"{view.begin:%Y-%m-%d}" for view in views)
        wanted = query.day
        return RecordingList(
            recordings=tuple(v for v in views if wanted is None or v.begin.date() == wanted),
            days=tuple(days),
        )

    async def file(
        self, request: web.Request, camera: CameraName, file: FileName, query: FileQuery
    ) -> web.StreamResponse:
        """Sends a recording, or the range of it that is asked for."""
        folder = self._served(camera).recordings
        if folder is None or recording_of(camera, file) is None:
            raise _no_such(file)
        path = folder / file
        if not await asyncio.to_thread(is_plain, path):
            raise _no_such(file)
        client = asking(request)
        if self._sending.full(client):
            allowed = self._sending.allowed(client)
            raise ProblemError(
                429, where="recordings sent at a time", got=allowed + 1, allowed=allowed
            )
        kind = "attachment" if query.download == "1" else "inline"
        headers = {
            "Content-Type": "video/mp4",
            "Content-Disposition": f'{kind}; filename="{file}"',  # a plain name, as checked above
            "Cache-Control": "private, no-cache",  # it may grow: what has it asks if it is the same
        }
        return _Sent(path, headers, self._sending, client)

    def _served(self, camera: str) -> Served:
        served = self._streams.get(camera)
        if served is None:
            raise ProblemError(404, where="camera", got=camera, allowed=sorted(self._streams))
        return served


class _Sent(TimedFile):
    """A recording, of which ``client`` has a share while it is sent."""

    def __init__(
        self, path: Path, headers: Mapping[str, str], sending: Shares, client: str
    ) -> None:
        super().__init__(path, headers, SEND_S)
        self._all_sent = sending
        self._client = client

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        with self._all_sent.hold(self._client):
            return await super().prepare(request)


def _no_such(file: str) -> ProblemError:
    return ProblemError(404, "file: the camera has no recording of this name", where="file")


def _recordings_in(folder: Path, stream: str) -> Sequence[tuple[Recording, float]]:
    """A stream's files and when each was last written, seconds of the epoch; the newest first."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:  # there may be no folder as yet
        for entry in entries:
            with suppress(OSError):  # it was removed meanwhile
                if not entry.is_file(follow_symlinks=False):
                    continue
                status = entry.stat(follow_symlinks=False)
                recording = recording_of(stream, entry.name, status.st_size)
                if recording is not None:
                    found.append((recording, status.st_mtime))
    return sorted(found, reverse=True)


def _view(recording: Recording, modified_s: float) -> RecordingView:
    """A file was modified when its last frame ended (``outputs/recorder.py``)."""
    seconds = max(0.0, modified_s - recording.started.timestamp())
    return RecordingView(
        file=recording.name,
        begin=recording.started,
        seconds=round(seconds, 1),
        bytes=recording.size,
        open=False,
    )


def _age_s(modified_s: float) -> float:
    return datetime.now(UTC).timestamp() - modified_s
