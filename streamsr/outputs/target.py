"""Where one output goes, a server or a folder: its name for people and how its process starts."""

import os
from pathlib import Path

from streamsr.core.redact import redact
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
    """The place of ``stream`` that ``settings`` name. HLS has a folder here."""

    def __init__(self, stream: str, settings: TargetSettings, lease: Path | None = None) -> None:
        """``lease``: the file by which alone it may be written, where the camera is a fleet's."""
        self.start: StartServer | StartHls | StartRecorder  # the first message to its process
        match settings:
            case PublishSettings(url=url, kind=kind):
                self.kind = kind
                self.name = redact(url)
                self.start = StartServer(str(url), settings.transport, os.getpid(), lease)
            case HlsSettings(folder=folder, segment_s=segment_s, segments=segments):
                assert folder is not None, "without one it is made where it is served"
                folder = folder.absolute()  # FFmpeg takes "22:15/x" for a protocol
                self.kind = "hls"
                self.name = str(folder)
                self.start = StartHls(folder, segment_s, segments, lease)
            case RecordSettings(folder=folder, keep_days=keep_days):
                self.kind = "record"
                self.name = str(folder)
                self.start = StartRecorder(
                    stream,
                    folder.absolute(),  # as above
                    settings.segment_s,
                    keep_s=None if keep_days is None else keep_days * DAY_S,
                    min_free_bytes=round(settings.min_free_gb * 1e9),
                    lease=lease,
                )
