"""Where one output goes, a server or a folder: its name for people and how its process starts."""

import os
import shutil
import tempfile
from pathlib import Path

from streamsr.core.redact import protect, redact
from streamsr.core.settings import HlsSettings, PublishSettings, RecordSettings
from streamsr.ipc.messages import StartHls, StartRecorder, StartServer
from streamsr.media.addresses import check_folder

__all__ = ["Target", "TargetSettings", "check_output"]

TargetSettings = PublishSettings | HlsSettings | RecordSettings

DAY_S = 86_400


def check_output(settings: TargetSettings) -> None:
    """Makes the folder that ``settings`` name. Raises OutputError where it cannot be written."""
    if not isinstance(settings, PublishSettings) and settings.folder is not None:
        check_folder(settings.folder, overwrite=True)


class Target:
    """The place of ``stream`` that ``settings`` name. HLS without a folder gets a temporary one."""

    def __init__(self, stream: str, settings: TargetSettings) -> None:
        self.folder: Path | None = None  # of HLS
        self.start: StartServer | StartHls | StartRecorder  # the first message to its process
        self._temporary = False
        match settings:
            case PublishSettings(url=url, kind=kind):
                protect(url)
                self.kind = kind
                self.name = redact(url)
                self.start = StartServer(url, settings.transport, os.getpid())
            case HlsSettings():
                self.kind = "hls"
                self._temporary = settings.folder is None
                self.folder = settings.folder or Path(tempfile.mkdtemp(prefix="streamsr-hls-"))
                self.folder = self.folder.absolute()  # FFmpeg takes "22:15/x" for a protocol
                self.name = str(self.folder)
                self.start = StartHls(
                    self.folder, settings.segment_s, settings.segments, self._temporary
                )
            case RecordSettings(folder=folder, keep_days=keep_days):
                self.kind = "record"
                self.name = str(folder)
                self.start = StartRecorder(
                    stream,
                    folder.absolute(),  # as above
                    settings.segment_s,
                    keep_s=None if keep_days is None else keep_days * DAY_S,
                    min_free_bytes=round(settings.min_free_gb * 1e9),
                )

    def remove_folder(self) -> None:
        """Removes the folder, where it is a temporary one."""
        if self._temporary and self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
