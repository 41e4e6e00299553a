"""Where one output goes, a server or a folder: its name for people and how its process starts."""

import os
import shutil
import tempfile
from pathlib import Path

from streamsr.core.errors import OutputError
from streamsr.core.redact import protect, redact
from streamsr.core.settings import HlsSettings, PublishSettings, RecordSettings
from streamsr.ipc.messages import StartHls, StartRecorder, StartServer

__all__ = ["Target", "TargetSettings", "check_output"]

TargetSettings = PublishSettings | HlsSettings | RecordSettings

DAY_S = 86_400


def check_output(settings: TargetSettings) -> None:
    """Makes the folder that ``settings`` name. Raises OutputError where it cannot be written."""
    if isinstance(settings, PublishSettings) or settings.folder is None:
        return
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".streamsr-"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"output {folder}: cannot be written: {reason}") from None


class Target:
    """The place that ``settings`` name. HLS without a folder gets a temporary one."""

    def __init__(self, settings: TargetSettings) -> None:
        self.kind = _kind_of(settings)  # "rtsp", "rtmp", "hls" or "record"
        self.folder: Path | None = None  # of HLS
        self._settings = settings
        self._temporary = isinstance(settings, HlsSettings) and settings.folder is None
        if isinstance(settings, PublishSettings):
            protect(settings.url)
        elif isinstance(settings, HlsSettings):
            self.folder = settings.folder or Path(tempfile.mkdtemp(prefix="streamsr-hls-"))

    def __str__(self) -> str:
        """For people: an address without its secrets, or a folder."""
        if isinstance(self._settings, PublishSettings):
            return _without_key(redact(self._settings.url))
        return str(self.folder or self._settings.folder)

    def start_message(self, stream: str) -> StartServer | StartHls | StartRecorder:
        """Returns the first message to a process that brings ``stream`` there."""
        match self._settings:
            case PublishSettings(url=url, transport=transport):
                return StartServer(url, transport, os.getpid())
            case HlsSettings(segment_s=segment_s, segments=segments):
                assert self.folder is not None
                return StartHls(self.folder, segment_s, segments, self._temporary)
            case RecordSettings() as record:
                return StartRecorder(
                    stream,
                    record.folder,
                    record.segment_s,
                    keep_s=None if record.keep_days is None else record.keep_days * DAY_S,
                    min_free_bytes=round(record.min_free_gb * 1e9),
                )

    def remove_folder(self) -> None:
        """Removes the folder, where it is a temporary one."""
        if self._temporary and self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _kind_of(settings: TargetSettings) -> str:
    if isinstance(settings, HlsSettings):
        return "hls"
    if isinstance(settings, RecordSettings):
        return "record"
    return settings.url[:4].lower()


def _without_key(url: str) -> str:
    """Returns an RTMP address without its last part, which is the key to somebody's channel."""
    if not url.lower().startswith("rtmp"):
        return url
    head, slash, _ = url.rpartition("/")
    return f"{head}{slash}***"
